# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
MkDocs hook: equations become MathML when the site is built, so that no page fetches a script to show them.

`pymdownx.arithmatex` finds `$...$` and `$$...$$` and knows what is code; this converts what it found. An equation that
cannot be converted is a warning, that is, an error of the strict build.
"""

import html
import logging
import re

from latex2mathml.converter import convert

log = logging.getLogger("mkdocs.hooks.mathml")

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def on_page_content(content: str, page, **_) -> str:
    """Replaces what arithmatex left in a page."""

    def replace(match: re.Match, display: str) -> str:
        latex = html.unescape(match.group(1)).strip()
        try:
            return convert(latex, display=display)
        except Exception as error:  # of any kind that its parser raises
            log.warning("%s: cannot convert the equation %r: %r", page.file.src_uri, latex, error)
            return html.escape(latex)

    content = _BLOCK.sub(lambda match: f'<div class="equation">{replace(match, "block")}</div>', content)
    return _INLINE.sub(lambda match: replace(match, "inline"), content)
