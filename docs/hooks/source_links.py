# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
MkDocs hook: links to files of the repository, which work where the pages are read there, for the site.

A link to a module of `ddg_hf` leads to its place in the API reference, if it has one; of any other link to a file
outside the documents the text remains.
"""

import html
import re

_LINK = re.compile(
    r"\[(?P<text>[^\]]+)\]\((?:\.\./)+(?P<path>(?:ddg_hf|recipes|tests|benchmarks|accelerate_configs)/[^)]*)\)"
)


def on_page_markdown(markdown: str, **_) -> str:
    """Replaces the links of a page."""
    return _LINK.sub(_replaced, markdown)


def _replaced(match: re.Match) -> str:
    text, path = match["text"], match["path"]
    if not path.startswith("ddg_hf/") or not path.endswith(".py"):
        return text
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    shown = re.sub(r"`([^`]+)`", lambda code: f"<code>{html.escape(code.group(1))}</code>", text)
    return f'<autoref optional identifier="{module}">{shown}</autoref>'
