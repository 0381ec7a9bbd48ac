# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
The text of a card: blocks that are generated, between markers, and the free text around them, which is its reader's to
edit. Pure functions.

A block stands between `<!-- ddg_hf: begin NAME -->` and `<!-- ddg_hf: end NAME -->`. The last line of a card keeps a
digest of the free text as it was written, so that an edit can be told from an old version.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import yaml
from huggingface_hub import DatasetCard, ModelCard

from ..errors import UserError

_BLOCK = re.compile(r"<!-- ddg_hf: begin (\w+) -->\n(.*?)<!-- ddg_hf: end \1 -->", re.DOTALL)
_DIGEST = re.compile(r"\n*<!-- ddg_hf: text ([0-9a-f]{16}) -->\s*$")
# An underscore between letters is no markup, and "www." would become a link.
_MARKUP = re.compile(r"[^\w .,:;()%'-]|(?<![^\W_])_|_(?![^\W_])|(?<=www)\.", re.ASCII | re.IGNORECASE)
_MAX_CARD = 2**20  # characters; cards are a few thousand


def block(name: str, content: str) -> str:
    """Returns a generated block."""
    return f"<!-- ddg_hf: begin {name} -->\n{content.strip()}\n<!-- ddg_hf: end {name} -->"


def escape_markdown(text: str) -> str:
    """
    Returns text that Markdown shows as it is, in one line: whatever could be markup, HTML, a link or the border of a
    table cell is written as an HTML entity, and a character that is not printable as a space.
    """
    shown = "".join(char if char.isprintable() else " " for char in text)
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", shown)


def code(text: str) -> str:
    """Returns a text as inline code, on one line, also in a table."""
    text = " ".join(str(text).split()).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def table(header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Returns a Markdown table of cells that are Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def free_text(body: str) -> str:
    """Returns what is left of a card's body without the content of its blocks and without its digest."""
    return _BLOCK.sub(lambda match: f"<!-- {match[1]} -->", _DIGEST.sub("", body)).strip()


def _digest(body: str) -> str:
    return hashlib.sha256(free_text(body).encode()).hexdigest()[:16]


def sealed(body: str) -> str:
    """Returns a card's body with the digest of its free text at the end."""
    return f"{_DIGEST.sub('', body).strip()}\n\n<!-- ddg_hf: text {_digest(body)} -->\n"


def is_edited(body: str) -> bool:
    """Whether the free text is not as it was written, or was never written by this package."""
    match = _DIGEST.search(body)
    return match is None or match[1] != _digest(body)


def with_blocks_of(body: str, new: str) -> str:
    """Returns `body` with the generated blocks of `new`; those that it lacks are put at its end."""
    blocks = {match[1]: match[0] for match in _BLOCK.finditer(new)}
    used = set()

    def replaced(match: re.Match) -> str:
        used.add(match[1])
        return blocks.get(match[1], match[0])

    body = _BLOCK.sub(replaced, _DIGEST.sub("", body)).strip()
    missing = [content for name, content in blocks.items() if name not in used]
    return sealed("\n\n".join([body, *missing]))


def merge_bodies(new: str, local: str | None, remote: str | None, prefer: str | None = None) -> str:
    """
    Returns the body of a card: generated blocks of `new`, free text of whoever edited it.

    Args:
        new: The card as it is generated now.
        local: Body of the card in the directory that is published, if there is one.
        remote: Body of the card that is published already, if there is one.
        prefer: `local` or `hub`: whose free text is taken if both were edited.

    Raises:
        UserError: both were edited, differently, and there is no preference.
    """
    theirs = remote is not None and is_edited(remote)
    ours = local is not None and is_edited(local)
    if ours and theirs and free_text(local) != free_text(remote) and prefer is None:
        raise UserError(
            "the text of README.md was edited both here and on the Hub; make it the same, or say whose text to keep: "
            "--card local or --card hub"
        )
    if remote is None or (ours and (not theirs or prefer == "local")):
        base = local if ours else new
    elif free_text(remote) == free_text(new):
        base = new
    else:
        # Also where it is as it was pushed: an edit made in another copy of the directory.
        base = remote
    return with_blocks_of(base, new)


def read_card(content: str, where: str, kind: type[DatasetCard] | type[ModelCard] = DatasetCard):
    """
    Parses a card that somebody else may have written.

    Raises:
        UserError: it is too long, its YAML cannot be read, is no mapping, or uses aliases, which a few lines of can
            expand to any size.
    """
    if len(content) > _MAX_CARD:
        raise UserError(f"README.md {where} has {len(content)} characters, more than {_MAX_CARD}; shorten it")
    header = re.match(r"\s*---\r?\n(.*?)\r?\n---", content, re.DOTALL)
    try:
        if header and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(header[1])):
            raise UserError(f"the YAML of README.md {where} uses aliases (*name); write the values out")
        return kind(content)
    except UserError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the YAML of README.md {where} cannot be read; mend or remove it: {reason}") from error
