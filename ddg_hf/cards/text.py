# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Pieces of Markdown for cards. Pure functions."""

import re
from collections.abc import Sequence
from typing import Any

# An underscore between letters is no markup, and "www." would become a link.
_MARKUP = re.compile(r"[^\w .,:;()%'-]|(?<![^\W_])_|_(?![^\W_])|(?<=www)\.", re.ASCII | re.IGNORECASE)


def block(name: str, content: str) -> str:
    """Returns a generated block: its content between markers, see [`~ddg_hf.cards.card`]."""
    return f"<!-- ddg_hf: begin {name} -->\n{content.strip()}\n<!-- ddg_hf: end {name} -->"


def escape_markdown(text: str) -> str:
    """
    Returns text that Markdown shows as it is, in one line: whatever could be markup, HTML, a link or the border of a
    table cell is written as an HTML entity, and a character that is not printable as a space.
    """
    shown = "".join(char if char.isprintable() else " " for char in text)
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", shown)


def code(value: Any) -> str:
    """Returns a value as inline code, on one line."""
    text = " ".join(str(value).split())
    if not text or "<!--" in text:  # nothing to show; what could be taken for a marker
        return escape_markdown(text) or "(empty)"
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def table(header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Returns a Markdown table of cells that are Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
