# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Cards of which one part is generated and the other belongs to their user. Pure functions.

Generated blocks stand between `<!-- ddg_hf: begin NAME -->` and `<!-- ddg_hf: end NAME -->`; the text around them, and
the keys of the header that do not describe files or results, are free: they are generated once, and then whoever edits
them has the say. The last line of a card keeps digests of its free parts as they were generated, and as they were when
this copy and the published one were last the same, with the place where it is published. So an edit can be told from
an old version, and edits of two copies from one another.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from ..errors import UserError
from .text import block

CARD_FILE = "README.md"
# Keys of a header that describe files and results: always made anew.
DESCRIBING = ("configs", "dataset_info", "size_categories", "model-index")

_BLOCK = re.compile(r"<!-- ddg_hf: begin (\w+) -->\n(.*?)<!-- ddg_hf: end \1 -->", re.DOTALL)
_RECORD = re.compile(r"\n*<!-- ddg_hf: record (\{[^\n]*\}) -->")
_HEADER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_MAX_CARD = 2**20  # bytes; cards are a few thousand


@dataclass(frozen=True)
class Card:
    """
    A card.

    Attributes:
        header: The mapping of its YAML.
        body: Its Markdown, without the record.
        generated: Digests of the free text (`text`) and of the free keys of the header as they were generated; empty
            if this package has not generated the card.
        base: The same as they were when the copies in the directory and at `target` were last the same.
        target: Where that copy is published, `user/name@branch`; empty if nowhere.
    """

    header: dict[str, Any]
    body: str
    generated: Mapping[str, str] = field(default_factory=dict)
    base: Mapping[str, str] = field(default_factory=dict)
    target: str = ""

    @property
    def free_text(self) -> str:
        """What is left of the body without the content of its blocks."""
        return _BLOCK.sub(lambda match: f"<!-- {match[1]} -->", self.body).strip()

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the free parts as they are."""
        free = {key: value for key, value in self.header.items() if key not in DESCRIBING}
        return {"text": _digest(self.free_text), **{f"header.{key}": _digest(value) for key, value in free.items()}}

    def at(self, target: str) -> "Card":
        """Returns the card as it is published at `target`, and kept in the directory."""
        return replace(self, base=self.digests, target=target)

    def with_block(self, name: str, content: str) -> "Card":
        """Returns the card with another content of one of its blocks, which is put at the end if it is not there."""
        return replace(self, body=_with_blocks_of(self.body, block(name, content)))

    def __str__(self) -> str:
        record = {"generated": dict(self.generated), "base": dict(self.base), "target": self.target}
        header = yaml.dump(self.header, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))
        header = header.strip("\n")  # no more: a key may be a space of another kind
        shown = json.dumps(record, sort_keys=True).replace("--", "-\\u002d")  # would end the comment
        return f"---\n{header}\n---\n\n{self.body.strip()}\n\n<!-- ddg_hf: record {shown} -->\n"


class _Dumper(yaml.SafeDumper):
    """Writes every value out, and quotes texts with line ends that only some parsers take for such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if re.search("[\x85\u2028\u2029]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def _digest(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def new_card(header: dict[str, Any], body: str) -> Card:
    """Returns a card as it is generated."""
    card = Card({key: value for key, value in header.items() if value is not None}, body.strip())
    return replace(card, generated=card.digests, base=card.digests)


def read_card(content: bytes, where: str) -> Card:
    """
    Parses a card that anybody may have written.

    Args:
        content: The file.
        where: Whose it is, for messages: "of 'user/name'".

    Raises:
        UserError: it is too long or no UTF-8 text, or its YAML cannot be read, is no mapping with names as keys, or
            uses aliases, which a few lines of can expand to any size.
    """
    what = f"{CARD_FILE} {where}"
    if len(content) > _MAX_CARD:
        raise UserError(f"{what} has {len(content)} bytes, more than {_MAX_CARD}; shorten it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{what} is not UTF-8 text; mend or remove it") from error
    text = text.replace("\r\n", "\n")
    match = _HEADER.search(text)
    header = _read_header(match[1], what) if match else {}
    body = text[match.end() :] if match else text
    records = _RECORD.findall(body)
    body = _RECORD.sub("", body).strip()
    try:
        record = json.loads(records[-1]) if records else {}
    except (ValueError, RecursionError):
        record = {}  # tampered with: it is then a card that we have not written
    target = record.get("target")
    generated, base = (_strings(record.get(name)) for name in ("generated", "base"))
    return Card(header, body, generated, base, target if isinstance(target, str) else "")


def _strings(value: Any) -> dict[str, str]:
    return {str(key): str(digest) for key, digest in value.items()} if isinstance(value, dict) else {}


def _read_header(text: str, what: str) -> dict[str, Any]:
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise UserError(f"the YAML of {what} uses aliases (*name); write the values out")
        header = yaml.safe_load(text)
        _check_keys(header)
        json.dumps(header, default=str)  # a number may be too long to write
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the YAML of {what} cannot be read; mend or remove it: {reason}") from error
    if header is None:
        return {}
    if not isinstance(header, dict):
        raise UserError(f"the YAML of {what} is no mapping of names to values; mend or remove it")
    return header


def _check_keys(value: Any) -> None:
    """Raises `TypeError` if a key of a mapping, at any depth, is no text."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no text")
            _check_keys(item)
    elif isinstance(value, list):
        for item in value:
            _check_keys(item)


def merge_cards(
    new: Card, local: Card | None, published: Card | None, target: str = "", prefer: str | None = None
) -> Card:
    """
    Returns a card with what is generated of `new`, and what is free of whoever edited it.

    Each free part (the text, and every key of the header) is merged on its own. Where the directory and the published
    copy were the same before, it is a three-way merge: the one that was changed since counts. Otherwise an edited part
    counts, and one that nobody has edited is made anew.

    Args:
        new: The card as it is generated now.
        local: The card in the directory, if there is one.
        published: The card that is published at `target` already, if there is one.
        target: Where the card is going to be published, `user/name@branch`.
        prefer: `local` or `hub`: whose part is taken where both were edited.

    Returns:
        The card, which is not published yet: see [`Card.at`].

    Raises:
        UserError: a part was edited in both, differently, and there is no preference.
    """
    conflicts: list[str] = []

    def source(part: str) -> Card:
        return _source(part, new, local, published, target, prefer, conflicts)

    body = _with_blocks_of(source("text").body, new.body)
    header: dict[str, Any] = {}
    # In the order of the card that is there, so that a key keeps its place.
    for key in dict.fromkeys(key for card in (published, local, new) if card for key in card.header):
        if key not in DESCRIBING:
            card = source(f"header.{key}")
            if key in card.header:
                header[key] = card.header[key]
        elif key in new.header:
            header[key] = _with_others(key, new.header[key], published)
    if conflicts:
        raise UserError(
            f"{' and '.join(conflicts)} of {CARD_FILE} was edited both here and on the Hub; make it the same, or say "
            "whose to keep: --card local or --card hub"
        )
    if published is not None and not published.generated and isinstance(header.get("tags"), list):
        header["tags"] = _distinct([*header["tags"], *new.header.get("tags", ())])
    kept = local or new
    return Card(header, body, new.digests, kept.base, kept.target)


def _source(
    part: str,
    new: Card,
    local: Card | None,
    published: Card | None,
    target: str,
    prefer: str | None,
    conflicts: list[str],
) -> Card:
    """The card whose part is taken: `new` where the one that counts was never edited."""
    local = local or new
    ours, ours_new = local.digests.get(part), local.generated.get(part)
    here = local if ours != ours_new else new
    if published is None:
        return here
    theirs, theirs_new = published.digests.get(part), published.generated.get(part)
    there = published if theirs != theirs_new else new
    if ours == theirs:
        return there
    if local.target == target and target:
        unchanged_here, unchanged_there = ours == local.base.get(part), theirs == local.base.get(part)
    else:
        unchanged_here, unchanged_there = ours == ours_new, theirs == theirs_new
    if unchanged_here:
        return there
    if unchanged_there:
        return here
    if prefer is None:
        conflicts.append("the text" if part == "text" else f"'{part.removeprefix('header.')}'")
    return here if prefer == "local" else there


def _with_others(key: str, value: Any, published: Card | None) -> Any:
    """Adds descriptions of configurations that are not ours, which stay in the repository."""
    if key not in ("configs", "dataset_info") or published is None:
        return value
    ours = value if isinstance(value, list) else [value]
    found = published.header.get(key)
    found = found if isinstance(found, list) else [found] if isinstance(found, dict) else []
    named = [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("config_name"), str)]
    taken = {entry.get("config_name") for entry in ours}
    mine = re.compile(r"dpc_\d+" if published.generated else "")  # of those we have published, the others are gone
    kept = [e for e in named if e["config_name"] not in taken and not mine.fullmatch(e["config_name"])]
    if any(entry["config_name"] == "default" or entry.get("default") for entry in kept):
        ours = [{name: item for name, item in entry.items() if name != "default"} for entry in ours]
    return [*ours, *kept] if kept else value


def _distinct(tags: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(tag for tag in tags if isinstance(tag, str)))


def _with_blocks_of(body: str, new: str) -> str:
    """`body` with the generated blocks of `new`; those that it lacks are put at its end."""
    blocks = {match[1]: match[0] for match in _BLOCK.finditer(new)}
    used = set()

    def replaced(match: re.Match) -> str:
        used.add(match[1])
        return blocks.get(match[1], match[0])

    body = _BLOCK.sub(replaced, body).strip()
    return "\n\n".join([body, *(content for name, content in blocks.items() if name not in used)])
