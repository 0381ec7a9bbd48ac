# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is generated of a card and what is its user's: three-way merges of text and header."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ddg_hf.cards.card import Card, merge_cards, new_card, read_card
from ddg_hf.cards.text import block
from ddg_hf.errors import UserError

TEXT = "Written by us."
HERE = "user/name@main"


def card(measured: str = "old", text: str = TEXT, **header) -> Card:
    """As it is generated."""
    header = {"license": "unknown", "tags": ["ours"], "size_categories": measured} | header
    return new_card(header, f"# Title\n\n{text}\n\n{block('results', measured)}")


def stored(card: Card) -> Card:
    """As it is read back."""
    return read_card(str(card).encode(), "here")


def edited(card: Card, text: str | None = None, **header) -> Card:
    """As somebody else leaves it."""
    return replace(card, header=card.header | header, body=card.body.replace(TEXT, text or TEXT))


def merge(local: Card | None, published: Card | None, prefer: str | None = None, text: str = TEXT, **header) -> Card:
    """What is published at `HERE` next."""
    return stored(merge_cards(card("new", text, **header), local, published, HERE, prefer).at(HERE))


def test_a_card_is_read_as_it_was_written():
    written = card().at(HERE)
    assert stored(written) == written and written.base == written.generated == written.digests


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
    merged = merge(local, remote, prefer)
    assert kept in merged.body and block("results", "new") in merged.body and "old" not in merged.body
    assert merged.header["size_categories"] == "new"


def test_two_edits_need_a_choice():
    start = stored(card())
    with pytest.raises(UserError, match="the text of README.md was edited .* --card local or --card hub"):
        merge(edited(start, "Mine."), edited(start, "Theirs."))
    with pytest.raises(UserError, match="'license' of README.md was edited"):
        merge(edited(start, license="mit"), edited(start, license="apache-2.0"))


def test_an_edit_that_was_published_is_still_an_edit():
    published = merge(edited(stored(card()), "Mine."), None)
    assert "Mine." in merge(stored(card()), published).body, "pushed from an older copy"
    for elsewhere in (None, stored(card())):
        assert "Mine." in merge_cards(card("new"), published, elsewhere, "user/another@main").body
    assert "Mine." in merge(published, published).body


def test_an_older_copy_that_is_edited_too_needs_a_choice():
    older = merge(stored(card()), None)
    published = merge(edited(older, "Mine."), older)
    with pytest.raises(UserError, match="--card"):
        merge(edited(older, "From the other machine."), published)


def test_of_two_versions_the_later_one_counts_wherever_it_was_made():
    first = merge(edited(stored(card()), "Mine."), None)
    assert "Newer." in merge(replace(first, body=first.body.replace("Mine.", "Newer.")), first).body
    theirs = replace(first, body=first.body.replace("Mine.", "Theirs."), header=first.header | {"license": "mit"})
    merged = merge(first, theirs)
    assert "Theirs." in merged.body and merged.header["license"] == "mit"


def test_an_edit_can_be_taken_back_on_the_hub():
    published = merge(edited(stored(card()), license="mit"), None)
    back = replace(published, header=published.header | {"license": "unknown"})
    assert merge(published, back).header["license"] == "unknown"


def test_another_branch_is_not_taken_for_the_one_that_was_seen_last():
    main = merge(edited(stored(card()), "First."), None)
    dev = stored(merge_cards(card(), replace(main, body=main.body.replace("First.", "Second.")), main, HERE).at("dev"))
    with pytest.raises(UserError, match="--card"):
        merge(dev, main)


def test_a_local_rewrite_does_not_count_as_seen():
    start = merge(stored(card()), None)
    mine = stored(edited(start, "Mine.").with_block("results", "checked"))
    with pytest.raises(UserError, match="--card"):
        merge(mine, edited(start, "Theirs."))
    assert "Mine." in merge(mine, start).body
    assert "Mine." in merge(stored(merge_cards(card(), mine, None)), start).body


def test_keys_are_added_and_removed_like_text():
    start = stored(card())
    removed = replace(start, header={key: value for key, value in start.header.items() if key != "tags"})
    merged = merge(start, edited(removed, extra="theirs"))
    assert "tags" not in merged.header and merged.header["extra"] == "theirs"
    assert merge(edited(start, extra="mine"), start).header["extra"] == "mine"


def test_a_new_default_reaches_what_nobody_edited():
    merged = merge(stored(card()), stored(card()), text="Better words.", license="other")
    assert "Better words." in merged.body and merged.header["license"] == "other"


def test_somebody_elses_card_is_kept_and_gets_what_it_lacks():
    theirs = read_card(b"---\nlicense: mit\ntags: [theirs, {a: b}]\n---\n# Mine\n\nAll about kettles.\n", "there")
    merged = merge(stored(card()), theirs)
    assert merged.body == f"# Mine\n\nAll about kettles.\n\n{block('results', 'new')}"
    assert merged.header["license"] == "mit" and merged.header["tags"] == ["theirs", "ours"]
    assert merged.header["size_categories"] == "new"


@pytest.mark.parametrize("theirs", [{"config_name": "default"}, {"config_name": "real", "default": True}])
def test_other_configurations_stay_described(theirs):
    ours = {"config_name": "dpc_2", "data_files": "dpc_2/train.parquet", "default": True}
    published = merge(None, None, configs=[{"config_name": "dpc_1"}, ours])
    published.header["configs"].append(theirs)
    found = merge(published, published, configs=[ours]).header["configs"]
    assert found == [{"config_name": "dpc_2", "data_files": "dpc_2/train.parquet"}, theirs]
    assert ours["default"], "what was given is not changed"


def test_line_ends_of_windows_do_not_matter():
    merged = merge(stored(card()), read_card(str(card()).replace("\n", "\r\n").encode(), "there"))
    assert merged.body.count("begin results") == 1


def test_a_text_after_the_record_is_text():
    found = read_card(f"{card().at(HERE)}\nAppended.\n".encode(), "there")
    assert found.body.endswith("Appended.") and found.target == HERE and "record" not in found.body


HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.one_of(st.text(max_size=12), st.lists(st.text(max_size=6), max_size=3)),
    max_size=3,
)


@given(HEADERS, st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
@example({"\xa0": ""}, "")
def test_any_header_and_text_come_back(header, text):
    written = str(new_card(header, text))
    found = read_card(written.encode(), "here")
    assert found.header == header
    assert found.digests == found.base == found.generated


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"---\na: &a [x]\nb: *a\n---\n", "uses aliases"),
        (b"---\na: [\n---\n", "cannot be read"),
        (b"---\n- a\n---\n", "no mapping"),
        (b"---\n1: a\n---\n", "the key 1 is no text"),
        (b"---\nx: {1: a, b: c}\n---\n", "the key 1 is no text"),
        (b"---\nx: [{2024-01-01: a}]\n---\n", "is no text"),
        (b"---\nx: 0x" + b"f" * 5000 + b"\n---\n", "cannot be read"),
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
    "record", ["{", "[1]", '{"generated": 3, "base": {"text": 4}, "target": 5}', '{"generated": {"a": []}}']
)
def test_a_record_that_was_tampered_with_is_that_of_a_strangers_card(record):
    found = read_card(f"---\na: b\n---\n# Title\n\n<!-- ddg_hf: record {record} -->\n".encode(), "here")
    assert found.header == yaml.safe_load("a: b")
    assert "# Title" in merge(stored(card()), found).body
