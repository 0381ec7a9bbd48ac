# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The pages of the documentation, taken apart: fenced blocks, and the commands of a shell block."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

SHELL = ("shell", "bash", "sh", "console")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL
)
_ASSIGNMENT = re.compile(r"(?P<name>[A-Z_]+)=(?P<value>.*)", re.DOTALL)
_SUBSTITUTION = re.compile(r"\$\((?P<command>[^()]*)\)")


def name_of(page: Path) -> str:
    """The path of a page as it is written in test ids."""
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line it begins on, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """
    A command of a shell block.

    Attributes:
        place: Page and line of the block.
        words: Its words. Variables and `$(...)` are left as they are, see `expand`.
        assigns: Variables that it sets, for itself or, if there are no words, for the commands after it.
    """

    place: str
    words: tuple[str, ...]
    assigns: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return shlex.join(self.words) or " ".join(self.assigns)


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(name_of(page), text.count("\n", 0, match.start()) + 1, match["language"], match["text"])
        for match in _FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[Command]:
    """The commands of a shell block: lines, joined where they end in a backslash, and parts of lines between `;`."""
    commands = []
    for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
        words = _words(line)
        for part in _split(words, ";"):
            assigns = {}
            while part and (match := _ASSIGNMENT.fullmatch(part[0])):
                assigns[match["name"]] = match["value"]
                part = part[1:]
            if part or assigns:
                commands.append(Command(block.place, tuple(part), assigns))
    return commands


def _words(line: str) -> list[str]:
    """The words of a line, without its comment; `$(...)` is one word, whatever is in it."""
    kept = _SUBSTITUTION.findall(line)
    for i, command in enumerate(kept):
        line = line.replace(f"$({command})", f"SUBSTITUTION{i}END", 1)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    return [
        re.sub(r"SUBSTITUTION(\d+)END", lambda match: f"$({kept[int(match[1])]})", word)
        for word in _without_redirects(lexer)
    ]


def _without_redirects(words) -> list[str]:
    """Words without `> file`."""
    kept: list[str] = []
    words = iter(words)
    for word in words:
        if word == ">":
            next(words)
        else:
            kept.append(word)
    return kept


def _split(words: list[str], separator: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == separator:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def shell_commands() -> list[Command]:
    """All commands of all shell blocks of all pages."""
    return [
        command
        for page in PAGES
        for block in blocks_of(page)
        if block.language in SHELL
        for command in commands_of(block)
    ]


def expand(words: tuple[str, ...], variables: dict[str, str], substitute) -> list[str]:
    """Words with variables and `$(...)` replaced; `substitute` returns what a command prints."""

    def replace(word: str) -> str:
        word = _SUBSTITUTION.sub(lambda match: substitute(match["command"]), word)
        return re.sub(r"\$\{?([A-Z_]+)\}?", lambda match: variables[match[1]], word)

    return [replace(word) for word in words]
