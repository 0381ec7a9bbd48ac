# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Text files in blocks of whole lines, with the place of everything that is no text."""

import codecs
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import UserError

BLOCK_BYTES = 8 << 20
# One line must fit in memory several times over. A longer one is hardly a text, but a missing line end or quote.
MAX_LINE_BYTES = 64 << 20


def one_line(value: object) -> str:
    """Returns the text of an exception or another value as one line of at most 300 characters."""
    return (" ".join(str(value).split()) or type(value).__name__)[:300]


def shown(value: object) -> str:
    """Returns a value as it is shown in a message, at most 60 characters of it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def line_blocks(path: Path, size: int = BLOCK_BYTES) -> Iterator[tuple[int, bytes]]:
    """
    Yields the file in blocks of whole lines, each of `size` bytes and the rest of a line: the number of the first line
    (from 1), and the bytes. A byte order mark is left out.

    Raises:
        UserError: the file cannot be read, is UTF-16 or UTF-32, or has a NUL byte or a line of more than 64 MiB.
    """
    number = 1
    try:
        with path.open("rb") as file:
            while block := file.read(size):
                if not block.endswith(b"\n"):
                    block += file.readline(MAX_LINE_BYTES)
                    if not block.endswith(b"\n") and len(block) - block.rfind(b"\n") > MAX_LINE_BYTES:
                        at = number + block.count(b"\n")
                        raise UserError(
                            f"line {at} of '{path}' is longer than {MAX_LINE_BYTES >> 20} MiB: is a line end missing?"
                        )
                if number == 1:
                    block = without_bom(block, path)
                if b"\0" in block:
                    raise UserError(f"'{path}' has a NUL byte in {_place(block, block.index(0), number)}: is it text?")
                if block:
                    yield number, block
                number += count_lines(block)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}") from error


def count_lines(block: bytes) -> int:
    """Returns the number of line ends."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))  # four times as fast as `bytes.count`


def without_bom(start: bytes, path: Path) -> bytes:
    """Returns the first bytes of a file without a byte order mark. Raises `UserError` if it is not that of UTF-8."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise UserError(f"'{path}' is UTF-16 or UTF-32; save it as UTF-8")
    return start.removeprefix(codecs.BOM_UTF8)


def decode(block: bytes, path: Path, number: int) -> str:
    """Decodes a block whose first line has this number. Raises `UserError` with line and column if it is not UTF-8."""
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(path, block[error.start], _place(block, error.start, number)) from error


def not_utf8(path: Path, byte: int, place: str) -> UserError:
    """The error of a byte that is no UTF-8."""
    return UserError(f"'{path}' is not UTF-8 text: byte 0x{byte:02x} in {place}; save it as UTF-8")


def _place(block: bytes, at: int, number: int) -> str:
    """Line and column (in characters, from 1) of a byte; the part of its line before it is UTF-8."""
    start = block.rfind(b"\n", 0, at) + 1
    return f"line {number + block.count(10, 0, at)}, column {len(block[start:at].decode(errors='replace')) + 1}"
