# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is generated of a card and what is its user's: three-way merges of text and header."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.cards.card import Card, merge_cards, new_card, read_card
from ddg_hf.cards.text import block
from ddg_hf.errors import UserError

TEXT = "Written by us."


def card(measured: str = "old", text: str = TEXT, **header) -> Card:
    """As it is generated."""
    header = {"license": "unknown", "tags": ["ours"], "size_categories": measured} | header
    return new_card(header, f"# Title\n\n{text}\n\n{block('results', measured)}")


def stored(card: Card) -> Card:
    """As it is read back."""
    return read_card(str(card).encode(), "here")


def edited(card: Card, text: str | None = None, **header) -> Card:
    """As somebody else leaves it."""
    return Card(card.header | header, card.body.replace(TEXT, text or TEXT), card.generated, card.written)


def test_a_card_is_read_as_it_was_written():
    written = card()
    assert stored(written) == Card(written.header, written.body, written.digests, written.digests)


@pytest.mark.parametrize(
    ("local", "remote", "prefer", "kept"),
    [
        (None, None, None, TEXT),
        (TEXT, None, None, TEXT),
        ("Mine.", None, None, "Mine."),
        (TEXT, TEXT, None, TEXT),
        (TEXT, "Theirs.", None, "Theirs."),
        ("Mine.", TEXT, None, "Mine."),
        ("Mine.", "Mine.", None, "Mine."),
        ("Mine.", "Theirs.", "local", "Mine."),
        ("Mine.", "Theirs.", "hub", "Theirs."),
        (None, "Theirs.", None, "Theirs."),
    ],
)
def test_whoever_edited_wins(local, remote, prefer, kept):
    local, remote = (text and edited(stored(card()), text) for text in (local, remote))
    merged = merge_cards(card("new"), local, remote, prefer)
    assert kept in merged.body and block("results", "new") in merged.body and "old" not in merged.body
    assert merged.header["size_categories"] == "new"


def test_two_edits_need_a_choice():
    start = stored(card())
    with pytest.raises(UserError, match="the text of README.md was edited .* --card local or --card hub"):
        merge_cards(card("new"), edited(start, "Mine."), edited(start, "Theirs."))
    with pytest.raises(UserError, match="'license' of README.md was edited"):
        merge_cards(card("new"), edited(start, license="mit"), edited(start, license="apache-2.0"))


def test_an_edit_that_was_published_is_still_an_edit():
    published = stored(merge_cards(card(), edited(stored(card()), "Mine."), None))
    assert "Mine." in merge_cards(card("new"), stored(card()), published).body, "pushed from an older copy"
    assert "Mine." in merge_cards(card("new"), published, None).body, "pushed to a new repository"
    assert "Mine." in merge_cards(card("new"), published, stored(card())).body, "pushed to another one"
    again = stored(merge_cards(card("new"), published, published))
    assert "Mine." in again.body


def test_an_older_copy_that_is_edited_too_needs_a_choice():
    first = stored(card())
    published = stored(merge_cards(card(), edited(first, "Mine."), first))
    with pytest.raises(UserError, match="--card"):
        merge_cards(card("new"), edited(first, "From the other machine."), published)


def test_what_was_edited_on_the_hub_after_a_push_wins():
    published = stored(merge_cards(card(), edited(stored(card()), "Mine.", license="mit"), None))
    header = published.header | {"license": "cc-by-4.0"}
    changed = Card(header, published.body.replace("Mine.", "Theirs."), published.generated, published.written)
    merged = merge_cards(card("new"), published, changed)
    assert "Theirs." in merged.body and merged.header["license"] == "cc-by-4.0"


def test_keys_are_added_and_removed_like_text():
    start = stored(card())
    removed = Card({k: v for k, v in start.header.items() if k != "tags"}, start.body, start.generated, start.written)
    merged = merge_cards(card("new"), start, edited(removed, extra="theirs"))
    assert "tags" not in merged.header and merged.header["extra"] == "theirs"
    assert merge_cards(card("new"), edited(start, extra="mine"), start).header["extra"] == "mine"


def test_a_new_default_reaches_what_nobody_edited():
    merged = merge_cards(card("new", "Better words.", license="other"), stored(card()), stored(card()))
    assert "Better words." in merged.body and merged.header["license"] == "other"


def test_somebody_elses_card_is_kept_and_gets_what_it_lacks():
    theirs = read_card(b"---\nlicense: mit\ntags: [theirs, {a: b}]\n---\n# Mine\n\nAll about kettles.\n", "there")
    merged = merge_cards(card("new"), stored(card()), theirs)
    assert merged.body == f"# Mine\n\nAll about kettles.\n\n{block('results', 'new')}"
    assert merged.header["license"] == "mit" and merged.header["tags"] == ["theirs", "ours"]
    assert merged.header["size_categories"] == "new"


def test_other_configurations_stay_described():
    ours = {"config_name": "dpc_2", "data_files": "dpc_2/train.parquet"}
    theirs = [{"config_name": "dpc_1"}, {"config_name": "real", "data_files": "data/*.csv"}]
    published = Card({"configs": theirs}, "")
    assert merge_cards(card(configs=[ours]), None, published).header["configs"] == [ours, theirs[1]]


HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.one_of(st.text(max_size=12), st.lists(st.text(max_size=6), max_size=3)),
    max_size=3,
)


@given(HEADERS, st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_any_header_and_text_come_back(header, text):
    written = str(new_card(header, text))
    found = read_card(written.encode(), "here")
    assert found.header == header
    assert found.digests == found.written == found.generated


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"---\na: &a [x]\nb: *a\n---\n", "uses aliases"),
        (b"---\na: [\n---\n", "cannot be read"),
        (b"---\n- a\n---\n", "no mapping"),
        (b"---\n1: a\n---\n", "no mapping"),
        (b"---\nx: !!python/object/apply:os.system ['true']\n---\n", "cannot be read"),
        (b"\xff\xfe not text", "not UTF-8"),
        (b"x" * 2**21, "bytes"),
    ],
)
def test_cards_that_cannot_be_read(content, message):
    with pytest.raises(UserError, match=message) as error:
        read_card(content, "of 'user/name'")
    assert "of 'user/name'" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "record", ["{", "[1]", '{"generated": 3, "written": {"text": 4}}', '{"generated": {"a": []}}']
)
def test_a_record_that_was_tampered_with_is_that_of_a_strangers_card(record):
    found = read_card(f"---\na: b\n---\n# Title\n\n<!-- ddg_hf: record {record} -->\n".encode(), "here")
    assert found.header == yaml.safe_load("a: b")
    assert "# Title" in merge_cards(card("new"), stored(card()), found).body
