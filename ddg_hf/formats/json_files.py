# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Reads JSON Lines and JSON arrays in bounded memory.

JSON Lines go through Arrow's parser, a block of lines at a time. It must be told the columns and their types, it is
lenient in places and it does not say where a mistake is. So a block that does not look plain, or that it refuses, is
parsed by Python's `json`. Both give the same rows.
"""

import abc
import codecs
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from ..errors import UserError
from .json_values import DECODER, ColumnTypes, Row, parse_row, to_batch, to_row
from .source import Source
from .text import MAX_LINE_BYTES, decode, line_blocks, not_utf8, one_line, without_bom

_SPACE = " \t\r\n"  # white space in JSON; str.strip() would take more
_FIRST_ROWS = 100
_BATCH_CHARACTERS = 4 << 20
_WINDOW_BYTES = 1 << 20
# What a prefix of a JSON text may lack at its end: the rest of a literal, a number or an escape.
_LONGEST_TOKEN = 16


def open_json(path: Path, columns: Sequence[str] | None = None) -> Source:
    """
    Opens a file of JSON Lines or of one JSON array, whichever it holds.

    Raises:
        UserError: the file cannot be read, is empty, or has a row that is wrong.
    """
    return (JsonArray if _holds_array(path) else JsonLines)(path, columns)


def json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """
    Yields the place (`"line 3 of 'data.jsonl'"`) and the fields of each row of a file of JSON Lines or of one JSON
    array, whatever the fields hold. Raises `UserError` as [`open_json`] does.
    """
    found: dict[str, None] = {}
    if _holds_array(path):
        yield from ((place, row) for _, place, row in _array_rows(path, None, found))
    else:
        for number, block in line_blocks(path):
            yield from _line_rows(path, number, block, None, found)


def _holds_array(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = without_bom(file.read(4096), path)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}") from error
    return start.lstrip(_SPACE.encode()).startswith(b"[")


def _line_rows(
    path: Path, number: int, block: bytes, columns: Sequence[str] | None, found: dict[str, None]
) -> Iterator[tuple[str, Row]]:
    """Yields the place and the fields of each row of a block of lines, the first of which has this number."""
    # Not `splitlines`, which also splits at characters that may stand in a JSON string.
    for line_number, line in enumerate(decode(block, path, number).split("\n"), number):
        if line.strip(_SPACE):
            place = f"line {line_number} of '{path}'"
            yield place, parse_row(line, columns, place, found)


def _array_rows(path: Path, columns: Sequence[str] | None, found: dict[str, None]) -> Iterator[tuple[int, str, Row]]:
    """Yields the length in characters, the place and the fields of each row of an array."""
    with path.open("rb") as file:
        text = _Window(file, path)
        text.expect("[")
        number, mark = 0, "["
        if text.peek() == "]":
            mark = text.expect("]")
        while mark != "]":
            number += 1
            text.peek()
            place = f"row {number} (line {text.place()[0]}) of '{path}'"
            length, value = text.value(place)
            yield length, place, to_row(value, columns, place, found)
            mark = text.expect(",]")
        if text.peek():
            raise UserError(f"'{path}' goes on after the array, in {text.where()}")


class _JsonSource(Source):
    def __init__(self, path: Path, columns: Sequence[str] | None):
        self.path = path
        self._columns = columns
        self._found: dict[str, None] = {}
        self._types = ColumnTypes()
        if not self._scan():
            raise UserError(f"'{path}' is empty")
        self.schema = self._types.schema()
        self.found = tuple(self._found)

    @abc.abstractmethod
    def _scan(self) -> bool:
        """Reads the file once, for the types. Returns whether it has a row."""


class JsonLines(_JsonSource):
    """A file with a JSON object in each line; empty lines are skipped."""

    def _scan(self) -> bool:
        any_row = False
        for number, block in line_blocks(self.path):
            if not any_row:
                for place, row in islice(self._strict(number, block), _FIRST_ROWS):
                    self._types.add(row, place)
                    any_row = True
            if self._fast(number, block, self._schema_for(block)) is None:
                for place, row in self._strict(number, block):
                    self._types.add(row, place)
                    any_row = True
        return any_row

    def _schema_for(self, block: bytes) -> pa.Schema:
        """The columns so far, or none if the block may have more of those that are wanted."""
        schema = self._types.schema(final=False)
        unseen = [name for name in self._columns or () if name not in schema.names]
        if any(json.dumps(name, ensure_ascii=False).encode() in block for name in unseen):
            return pa.schema([])
        # The name may be escaped: then Arrow finds a value where there can be none.
        return pa.schema([*schema, *(pa.field(name, pa.null()) for name in unseen)])

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for number, block in line_blocks(self.path):
            table = self._fast(number, block, self.schema)
            if table is None:
                rows = [row for _, row in self._strict(number, block)]
                yield to_batch(rows, self.schema, self.path)
            else:
                yield from table.combine_chunks().to_batches()

    def _fast(self, number: int, block: bytes, schema: pa.Schema) -> pa.Table | None:
        """Parses a block with Arrow. Returns `None` if that might not give what [`_strict`] gives."""
        lines = _plain_lines(block)
        if not (schema and lines):
            return None
        decode(block, self.path, number)
        others = "error" if self._columns is None else "ignore"
        try:
            table = pj.read_json(
                pa.BufferReader(block),
                pj.ReadOptions(block_size=1 << 20),
                pj.ParseOptions(explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior=others),
            )
            table.validate(full=True)
        except pa.ArrowException:
            return None
        floats = [column for column in table.columns if pa.types.is_floating(column.type)]
        # Arrow takes "Inf", which Python does not.
        if table.num_rows != lines or any(pc.any(pc.is_inf(column)).as_py() for column in floats):
            return None
        return table

    def _strict(self, number: int, block: bytes) -> Iterator[tuple[str, Row]]:
        """Parses a block with Python. Yields the place and the fields of each row."""
        return _line_rows(self.path, number, block, self._columns, self._found)

    def _place(self, row: int) -> str:
        for number, block in line_blocks(self.path):
            for line_number, line in enumerate(block.split(b"\n"), number):
                if line.strip(_SPACE.encode()):
                    row -= 1
                if row < 0:
                    return f"line {line_number}"
        return "the last line"


def _plain_lines(block: bytes) -> int:
    """
    Returns the number of lines if every line begins and ends with a brace, else 0.

    Then an object ends where a line ends: nothing else can stand between `}` and `{`. If Arrow finds as many rows as
    lines, there is one object in each.
    """
    characters = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    begins = np.append(0, ends[:-1] + 1)
    lasts = ends - 1
    lasts = lasts - (characters[lasts] == ord("\r"))
    plain = (characters[begins] == ord("{")).all() and (characters[lasts] == ord("}")).all()
    return len(ends) if plain else 0


class JsonArray(_JsonSource):
    """A file with one JSON array of objects."""

    def _scan(self) -> bool:
        any_row = False
        for _, place, row in self._rows():
            self._types.add(row, place)
            any_row = True
        return any_row

    def _batches(self) -> Iterator[pa.RecordBatch]:
        rows: list[Row] = []
        size = 0
        for characters, _, row in self._rows():
            rows.append(row)
            size += characters
            if size > _BATCH_CHARACTERS:
                yield to_batch(rows, self.schema, self.path)
                rows, size = [], 0
        yield to_batch(rows, self.schema, self.path)

    def _place(self, row: int) -> str:
        place = next(islice(self._rows(), row, None))[1]
        return place.removesuffix(f" of '{self.path}'")

    def _rows(self) -> Iterator[tuple[int, str, Row]]:
        return _array_rows(self.path, self._columns, self._found)


class _Window:
    """The characters of a file, of which as many are held as one JSON value needs."""

    def __init__(self, file: BinaryIO, path: Path):
        self._file, self._path = file, path
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0
        # A position up to which lines have been counted, its line, and the characters before it in that line.
        self._counted, self._line, self._before = 0, 1, 0
        self._start, self._end = True, False

    def place(self, at: int | None = None) -> tuple[int, int]:
        """Line and column (from 1) of a position in the window, by default the current one."""
        end = self._at if at is None else at
        lines = self._text.count("\n", self._counted, end)
        before = end - self._text.rfind("\n", 0, end) - 1 if lines else self._before + end - self._counted
        if at is None:
            self._counted, self._line, self._before = end, self._line + lines, before
            return self._line, before + 1
        return self._line + lines, before + 1

    def where(self, at: int | None = None) -> str:
        return "line {}, column {}".format(*self.place(at))

    def _more(self) -> bool:
        """Drops what has been read and holds more of the file. Returns whether there was more."""
        line, _ = self.place()
        self._text, self._at, self._counted = self._text[self._at :], 0, 0
        if len(self._text) > MAX_LINE_BYTES:
            raise UserError(
                f"the row in line {line} of '{self._path}' is longer than {MAX_LINE_BYTES >> 20} MiB: is a quotation "
                "mark or a brace missing?"
            )
        # Twice as much each time, or a long row would be begun again too often.
        block = self._file.read(max(_WINDOW_BYTES, len(self._text)))
        fresh = without_bom(block, self._path) if self._start else block
        self._start = False
        try:
            text = self._decoder.decode(fresh, final=not block)
        except UnicodeDecodeError as error:
            self._text += error.object[: error.start].decode()
            raise not_utf8(self._path, error.object[error.start], self.where(len(self._text))) from error
        self._text += text
        if "\0" in text:
            raise UserError(f"'{self._path}' has a NUL byte in {self.where(self._text.index(chr(0)))}: is it text?")
        self._end = not block
        return bool(block)

    def peek(self) -> str:
        """Skips white space and returns the next character, or nothing at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or self._end or not self._more():
                return self._text[self._at : self._at + 1]

    def expect(self, marks: str) -> str:
        """Reads one of the given characters."""
        mark = self.peek()
        if not mark or mark not in marks:
            found = f"'{mark}'" if mark else "the end of the file"
            raise UserError(f"'{self._path}' is not JSON: {found} in {self.where()}, not '{marks[0]}'")
        self._at += 1
        return mark

    def value(self, place: str) -> tuple[int, object]:
        """Reads one JSON value; returns its length in characters and the value."""
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
                length, self._at = end - self._at, end
                return length, value
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _LONGEST_TOKEN
                message, at = error.msg, error.pos - self._at
                if not cut or self._end or not self._more():
                    raise UserError(f"{place} is not JSON: {message} in {self.where(self._at + at)}") from error
            except (ValueError, RecursionError) as error:
                raise UserError(f"{place} is not JSON: {one_line(error)}") from error
