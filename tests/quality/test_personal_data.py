# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""E-mail addresses, telephone, card and account numbers, URLs; and what only looks like them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.quality.personal_data import (
    find_personal_data,
    is_iban,
    is_luhn_valid,
    judge_personal_data,
    personal_data,
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to jane.doe+x@mail.example.org.", "email"),
        ("write to jane @ example.org", "email"),
        ("see https://example.org/a?b=1", "url"),
        ("see http : //example.org/a", "url"),
        ("see www.example.org", "url"),
        ("call +49 30 1234567", "phone"),
        ("call +1 (212) 555-0100", "phone"),
        ("call (212) 555-0100 now", "phone"),
        ("call 212-555-0100.", "phone"),
        ("call 1-800-555-0199", "phone"),
        ("call 212.555.0100", "phone"),
        ("call 020 7946 0958", "phone"),
        ("call 089/1234567", "phone"),
        ("card 4111 1111 1111 1111", "card"),
        ("card 5500-0000-0000-0004", "card"),
        ("card 378282246310005", "card"),
        ("pay to DE89 3704 0044 0532 0130 00", "iban"),
        ("pay to GB82WEST12345698765432", "iban"),
    ],
)
def test_found(text, kind):
    assert dict(personal_data(text)) == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "card 4111 1111 1111 1112",  # check digit
        "order 1234567812345670",  # right check digit, but no issuer begins so
        "0000 0000 0000 0000",
        "pay to DE89 3704 0044 0532 0130 01",
        "from 2004-10-12 to 2005-01-31",
        "at 10:30 on 12/10/2004",
        "1,234,567,890 dollars",
        "3.14159265358979",
        "the years 1999 2000 2001 2002",
        "ISBN 978-3-16-148410-0",
        "version 1.2.3.4",
        "0.05 0.10 0.25",
        "2125550100",  # ten digits without any grouping
        "a score of 102-98 and 110-104",
        "@name and name@",
        "example.com is a name",
        "5 @ 10.50",
        "phone 555-0100",
        "",
    ],
)
def test_not_found(text):
    assert dict(personal_data(text)) == {}


def test_a_part_counts_once_as_its_first_kind():
    assert dict(personal_data("https://example.org/?mail=a@b.org&tel=212-555-0100")) == {"url": 1}
    assert dict(personal_data("a@b.org, c@d.org and 212-555-0100")) == {"email": 2, "phone": 1}


@given(st.integers(min_value=10**11, max_value=10**17))
def test_exactly_one_check_digit_is_right(number):
    assert sum(is_luhn_valid(f"{number}{digit}") for digit in range(10)) == 1


@given(st.text(alphabet="0123456789ABCXYZ", min_size=11, max_size=30))
def test_exactly_one_pair_of_check_digits_is_right(account):
    valid = [digits for digits in range(2, 99) if is_iban(f"DE{digits:02}{account}")]
    assert len(valid) == 1


def test_finding_does_not_repeat_what_was_found():
    findings = find_personal_data([("fine",), ("fine", "mail a@b.org or see www.b.org")])
    assert [(finding.row, finding.details) for finding in findings] == [(1, {"column": 1, "kind": "email, url"})]
    outcome = judge_personal_data(findings)
    assert (outcome.status, outcome.found, outcome.counts["email"], outcome.counts["url"]) == ("fail", 1, 1, 1)
    assert judge_personal_data(find_personal_data([("see www.b.org",)])).status == "warn"
    assert judge_personal_data([]).status == "ok"
