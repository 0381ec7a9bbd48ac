# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Texts of others in Markdown."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ddg_hf.cards.text import code, escape_markdown, table

# Characters that can be seen: the others become spaces, or are joined.
TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)


def shown(markdown: str) -> str:
    """What Markdown makes of a table's first cell."""
    page = MarkdownIt("commonmark").enable("table").render(table(["a", "b"], [[markdown, "c"]]))
    cells = re.findall(r"<td>(.*?)</td>", page, re.DOTALL)
    assert len(cells) == 2 and cells[1] == "c"
    return cells[0]


@given(TEXTS)
def test_escaped_text_is_shown_as_it_is(text):
    assert html.unescape(shown(escape_markdown(text))) == text


@given(TEXTS)
def test_code_is_shown_as_it_is(text):
    if "<!--" in text:
        assert html.unescape(shown(code(text))) == text
    else:
        match = re.fullmatch(r"<code>(.*)</code>", shown(code(text)), re.DOTALL)
        assert match and html.unescape(match[1]).strip() == text.strip()


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "[a](javascript:x)", "![i](http://x/y.png)", "a | b"])
def test_nothing_in_a_text_becomes_markup(text):
    assert html.unescape(shown(escape_markdown(text))) == text


def test_a_text_cannot_be_a_marker():
    assert "<!--" not in code("<!-- ddg_hf: end sets -->") and "<!--" not in escape_markdown("<!-- x -->")
    assert code("") == "(empty)" and code("a|b") == "`a|b`"
