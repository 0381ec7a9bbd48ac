# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Cards of which one part is generated and the other belongs to their user. Pure functions.

Generated blocks stand between `<!-- ddg_hf: begin NAME -->` and `<!-- ddg_hf: end NAME -->`; the text around them, and
the keys of the header that do not describe files or results, are free: they are generated once, and then whoever edits
them has the say. The last line of a card keeps digests of its free parts as they were generated and as they were last
written by this package. So an edit can be told from an old version, and edits of two copies from one another.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..errors import UserError

CARD_FILE = "README.md"
# Keys of a header that describe files and results: always made anew.
DESCRIBING = ("configs", "dataset_info", "size_categories", "model-index")

_BLOCK = re.compile(r"<!-- ddg_hf: begin (\w+) -->\n(.*?)<!-- ddg_hf: end \1 -->", re.DOTALL)
_RECORD = re.compile(r"\n*<!-- ddg_hf: record (\{[^\n]*\}) -->\s*$")
_HEADER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_MAX_CARD = 2**20  # bytes; cards are a few thousand


@dataclass(frozen=True)
class Card:
    """
    A card.

    Attributes:
        header: The mapping of its YAML.
        body: Its Markdown, without the record.
        generated: Digests of the free text (`text`) and of the free keys of the header as they were generated.
        written: The same as they were last written by this package; empty if they never were.
    """

    header: dict[str, Any]
    body: str
    generated: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def free_text(self) -> str:
        """What is left of the body without the content of its blocks."""
        return _BLOCK.sub(lambda match: f"<!-- {match[1]} -->", self.body).strip()

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the free parts as they are."""
        free = {key: value for key, value in self.header.items() if key not in DESCRIBING}
        return {"text": _digest(self.free_text), **{f"header.{key}": _digest(value) for key, value in free.items()}}

    def __str__(self) -> str:
        record = json.dumps({"generated": dict(self.generated), "written": self.digests}, sort_keys=True)
        header = yaml.dump(
            self.header, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
        ).strip()
        return f"---\n{header}\n---\n\n{self.body.strip()}\n\n<!-- ddg_hf: record {record} -->\n"


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
    return Card(card.header, card.body, card.digests, card.digests)


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
    match = _HEADER.search(text)
    header = _read_header(match[1], what) if match else {}
    body = text[match.end() :] if match else text
    record = _RECORD.search(body)
    digests: dict[str, Any] = {}
    if record:
        body = body[: record.start()]
        try:
            digests = json.loads(record[1])
        except (ValueError, RecursionError):
            digests = {}  # edited: it is then a card that we have not written
    generated, written = (_strings(digests.get(name)) for name in ("generated", "written"))
    return Card(header, body.strip(), generated, written)


def _strings(value: Any) -> dict[str, str]:
    return {str(key): str(digest) for key, digest in value.items()} if isinstance(value, dict) else {}


def _read_header(text: str, what: str) -> dict[str, Any]:
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise UserError(f"the YAML of {what} uses aliases (*name); write the values out")
        header = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the YAML of {what} cannot be read; mend or remove it: {reason}") from error
    if header is None:
        return {}
    if not isinstance(header, dict) or not all(isinstance(key, str) for key in header):
        raise UserError(f"the YAML of {what} is no mapping of names to values; mend or remove it")
    return header


def merge_cards(new: Card, local: Card | None, published: Card | None, prefer: str | None = None) -> Card:
    """
    Returns the card to publish: what is generated of `new`, what is free of whoever edited it.

    Each free part (the text, and every key of the header) is merged on its own, as in a three-way merge: of two copies
    that differ, the one counts that was edited since the directory was last written.

    Args:
        new: The card as it is generated now.
        local: The card in the directory, if there is one.
        published: The card that is published already, if there is one.
        prefer: `local` or `hub`: whose part is taken where both were edited.

    Raises:
        UserError: a part was edited in both, differently, and there is no preference.
    """
    conflicts: list[str] = []
    winner = _winner("text", new, local, published, prefer, conflicts)
    body = _with_blocks_of(winner.body, new.body)
    header = {key: value for key, value in new.header.items() if key in DESCRIBING}
    # In the order of the card that is there, so that a key keeps its place.
    names = dict.fromkeys(key for card in (published, local, new) if card for key in card.header)
    free: dict[str, Any] = {}
    for key in names:
        if key in DESCRIBING:
            if key in header:
                free[key] = _others(key, header[key], published)
            continue
        source = _winner(f"header.{key}", new, local, published, prefer, conflicts)
        if key in source.header:
            free[key] = source.header[key]
    if conflicts:
        raise UserError(
            f"{' and '.join(conflicts)} of {CARD_FILE} was edited both here and on the Hub; make it the same, or say "
            "whose to keep: --card local or --card hub"
        )
    if isinstance(free.get("tags"), list):
        free["tags"] = _tags(free["tags"], new, local, published)
    return Card(free, body, new.digests)


def _winner(
    part: str, new: Card, local: Card | None, published: Card | None, prefer: str | None, conflicts: list[str]
) -> Card:
    """The card whose part is taken."""
    ours = local.digests.get(part) if local else None
    theirs = published.digests.get(part) if published else None
    base = local.written.get(part) if local else None
    pristine_here = local is None or ours == local.generated.get(part)
    if published is None:
        return new if pristine_here else local
    if theirs == published.generated.get(part):  # never edited there
        return new if pristine_here else local
    if local is None or ours == base or ours == theirs:
        return published
    if theirs == base:
        return local
    if prefer is None:
        conflicts.append("the text" if part == "text" else f"'{part.removeprefix('header.')}'")
    return local if prefer == "local" else published


def _others(key: str, value: Any, published: Card | None) -> Any:
    """Adds descriptions of other people's configurations, which stay in the repository."""
    if key not in ("configs", "dataset_info") or published is None:
        return value
    found = published.header.get(key)
    found = found if isinstance(found, list) else [found] if isinstance(found, dict) else []
    named = [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("config_name"), str)]
    kept = [entry for entry in named if not re.fullmatch(r"dpc_\d+", entry["config_name"])]
    return value if not kept else [*(value if isinstance(value, list) else [value]), *kept]


def _tags(tags: Sequence[Any], new: Card, local: Card | None, published: Card | None) -> list[str]:
    """The tags that were chosen; ours are added where the card is somebody else's."""
    foreign = published is not None and not published.written
    names = [tag for tag in (*tags, *(new.header.get("tags", ()) if foreign else ())) if isinstance(tag, str)]
    return list(dict.fromkeys(names))


def _with_blocks_of(body: str, new: str) -> str:
    """`body` with the generated blocks of `new`; those that it lacks are put at its end."""
    blocks = {match[1]: match[0] for match in _BLOCK.finditer(new)}
    used = set()

    def replaced(match: re.Match) -> str:
        used.add(match[1])
        return blocks.get(match[1], match[0])

    body = _BLOCK.sub(replaced, body).strip()
    return "\n\n".join([body, *(content for name, content in blocks.items() if name not in used)])
