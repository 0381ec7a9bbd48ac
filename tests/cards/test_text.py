# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Generated blocks and free text of a card."""

import html
import re

import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ddg_hf.cards.text import (
    block,
    code,
    escape_markdown,
    free_text,
    is_edited,
    merge_bodies,
    read_card,
    sealed,
    table,
)
from ddg_hf.errors import UserError


def card(measured: str, text: str = "Written by us.") -> str:
    return sealed(f"# Title\n\n{text}\n\n{block('results', measured)}")


def test_an_edit_is_seen_in_the_text_and_not_in_the_blocks():
    body = card("old")
    assert not is_edited(body)
    assert not is_edited(body.replace("old", "new"))
    assert is_edited(body.replace("by us", "by me"))
    assert is_edited("# Somebody else's")
    assert free_text(body) == free_text(card("something else"))


@pytest.mark.parametrize(
    ("local", "remote", "prefer", "kept"),
    [
        (None, None, None, "by us"),
        ("by us", None, None, "by us"),
        ("by me", None, None, "by me"),
        ("by us", "by us", None, "by us"),
        ("by us", "by them", None, "by them"),
        ("by me", "by us", None, "by me"),
        ("by me", "by me", None, "by me"),
        ("by me", "by them", "local", "by me"),
        ("by me", "by them", "hub", "by them"),
        (None, "by them", None, "by them"),
    ],
)
def test_whoever_edited_wins(local, remote, prefer, kept):
    local, remote = (text and card("old").replace("by us", text) for text in (local, remote))
    merged = merge_bodies(card("new"), local, remote, prefer)
    assert f"Written {kept}." in merged and "new" in merged and "old" not in merged
    assert not is_edited(merged)


def test_an_edit_that_was_published_is_kept_by_another_copy():
    published = merge_bodies(card("old"), card("old").replace("by us", "by me"), None)
    assert "by me" in merge_bodies(card("new"), card("new"), published)


def test_two_edits_need_a_choice():
    edits = [card("old").replace("by us", text) for text in ("by me", "by them")]
    with pytest.raises(UserError, match="--card local or --card hub"):
        merge_bodies(card("new"), *edits)


def test_a_block_that_was_removed_comes_back_at_the_end():
    merged = merge_bodies(card("new"), None, "# Mine\n\nAll about kettles.\n")
    assert merged.startswith("# Mine\n\nAll about kettles.\n\n<!-- ddg_hf: begin results -->\nnew")


# Characters that can be seen: the others become spaces, or are joined.
TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)


def shown(markdown: str) -> str:
    """The text of what Markdown makes of a table's first cell."""
    page = MarkdownIt("commonmark").enable("table").render(table(["a", "b"], [[markdown, "c"]]))
    cells = re.findall(r"<td>(.*?)</td>", page, re.DOTALL)
    assert len(cells) == 2 and cells[1] == "c"
    return cells[0]


@given(TEXTS)
def test_escaped_text_is_shown_as_it_is(text):
    assert html.unescape(shown(escape_markdown(text))) == text


@given(TEXTS)
def test_code_is_shown_as_it_is(text):
    match = re.fullmatch(r"<code>(.*)</code>", shown(code(text)), re.DOTALL)
    assert match and html.unescape(match[1]).strip() == text.strip()


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "[a](javascript:x)", "![i](http://x/y.png)", "a | b"])
def test_nothing_in_a_text_becomes_markup(text):
    assert html.unescape(shown(escape_markdown(text))) == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("---\na: &a [x]\nb: *a\n---\n", "uses aliases"),
        ("---\na: [\n---\n", "cannot be read"),
        ("---\n- a\n---\n", "cannot be read"),
        ("---\nx: !!python/object/apply:os.system ['true']\n---\n", "cannot be read"),
        ("---\nmodel-index: 3\n---\n", None),
        ("x" * 2**21, "characters"),
    ],
)
def test_cards_of_others(content, message):
    if message is None:
        assert read_card(content, "here").data.to_dict()
        return
    with pytest.raises(UserError, match=message) as error:
        read_card(content, "of 'user/name'")
    assert "of 'user/name'" in str(error.value) and "\n" not in str(error.value)


def test_a_card_is_read_as_the_hub_reads_it():
    content = "---\nlicense: mit\ntags:\n- a\n---\n\n# Title\n"
    assert read_card(content, "here").data.to_dict() == DatasetCard(content).data.to_dict()
