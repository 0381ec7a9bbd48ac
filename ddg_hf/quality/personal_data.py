# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""E-mail addresses, telephone numbers, card and account numbers, and URLs in texts."""

import re
from collections import Counter
from collections.abc import Sequence

from .findings import FAIL, OK, WARN, Finding, Outcome, Texts

KINDS = ("email", "phone", "card", "iban", "url")

_URL = re.compile(r"\b(?:https?|ftp)\s?:\s?//\S+|\bwww\.[a-z0-9-]+\.[a-z]{2,}\S*", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}\s?@\s?(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b", re.IGNORECASE)
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Z0-9])")
_CARD = re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){12,18}(?![\d]|[.,-]\d)")
_ISSUER = re.compile(r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)|3[0-9]|6")
_PHONE = re.compile(
    r"(?<![\w.,+/:-])(?:"
    r"\+[1-9](?:[ .()/-]{0,2}\d){7,14}"  # +49 30 1234567, +1 (212) 555-0100
    r"|(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}"  # (212) 555-0100, 212-555-0100
    r"|0\d{1,4}(?:[ /-]\d{2,8}){1,4}"  # 020 7946 0958, 089/1234567
    r")(?![\w/-]|[.,:]\d)"
)


def is_luhn_valid(digits: str) -> bool:
    """Returns whether the last digit of a number is its check digit by the Luhn formula (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Returns whether 15 to 34 letters and digits have the check digits of an IBAN (ISO 13616)."""
    if not 15 <= len(text) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def personal_data(text: str) -> Counter[str]:
    """
    Counts what looks like personal data in a text, by kind:

    - `url`: with a scheme (`https://`) or `www.`. A bare `example.com` is a name and no URL.
    - `email`: an address with a dot in its domain.
    - `iban`: an international account number with right check digits.
    - `card`: 13 to 19 digits, in groups or not, that begin like those of a card issuer, with the right check digit.
    - `phone`: 8 to 15 digits with a `+`; ten, grouped as in North America (212-555-0100); or 8 to 12 that begin with
      0 and are grouped by spaces, hyphens or slashes. Digits without any grouping are taken for another number.

    Each part of a text counts once, as the first of these kinds that fits.
    """
    found: Counter[str] = Counter()

    def take(kind: str, pattern: re.Pattern, accept=lambda match: True) -> None:
        nonlocal text

        def replace(match: re.Match) -> str:
            if not accept(match[0]):
                return match[0]
            found[kind] += 1
            return "\n"

        text = pattern.sub(replace, text)

    take("url", _URL)
    take("email", _EMAIL)
    take("iban", _IBAN, lambda match: is_iban(match.replace(" ", "")))
    take("card", _CARD, lambda match: _is_card(_digits(match)))
    take("phone", _PHONE, _is_phone)
    return found


def _is_card(digits: str) -> bool:
    return _ISSUER.match(digits) is not None and len(set(digits)) > 1 and is_luhn_valid(digits)


def _is_phone(match: str) -> bool:
    count = len(_digits(match))
    return 8 <= count <= (12 if match.startswith("0") else 15)


def find_personal_data(rows: Sequence[Texts]) -> list[Finding]:
    """
    Finds texts with [`personal_data`]. Returns findings with the details `column` and `kind` (comma-separated); what
    was found is not repeated in them.
    """
    findings = []
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            kinds = personal_data(text)
            if kinds:
                named = ", ".join(kind for kind in KINDS if kind in kinds)
                findings.append(Finding(row, {"column": column, "kind": named}))
    return findings


def judge_personal_data(findings: Sequence[Finding]) -> Outcome:
    """Returns the outcome: `fail` if there is an address or a number of a person, `warn` if there are URLs only."""
    kinds = Counter(kind for finding in findings for kind in finding.details["kind"].split(", "))
    counts = {kind: kinds[kind] for kind in KINDS}
    status = OK if not findings else WARN if set(kinds) == {"url"} else FAIL
    return Outcome(status, len({finding.row for finding in findings}), counts, list(findings))
