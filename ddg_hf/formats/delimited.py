# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Reads CSV and TSV (RFC 4180 quoting, UTF-8) in bounded memory. Every column is text.

Arrow's reader is fast, but lenient with quotes, and it does not say where a mistake is. From the first block on in
which a quote stands in an odd place, or that Arrow refuses, rows come from Python's `csv`. Both give the same rows.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv

from ..errors import UserError
from .source import Source, check_distinct, is_wanted
from .text import BLOCK_BYTES, MAX_LINE_BYTES, count_lines, decode, line_blocks, one_line

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BATCH_CHARACTERS = 1 << 20
_HEADER_BYTES = 1 << 12


class Delimited(Source):
    """
    A CSV or TSV file with a header. A cell without anything in it is missing (null); an empty text is `""`.

    Raises:
        UserError: the file cannot be read, is empty, or its header has a column twice that is read.
    """

    typed = False

    def __init__(self, path: Path, columns: Sequence[str] | None = None):
        self.path = path
        self._delimiter = DELIMITERS.get(path.suffix.lower(), ",")
        place, self._header = next(self._placed_records(_HEADER_BYTES), ("", []))
        if not self._header:
            raise UserError(f"'{path}' is empty")
        check_distinct([name for name in self._header if is_wanted(name, columns)], place)
        self.found = tuple(self._header)
        self._kept = [i for i, name in enumerate(self._header) if is_wanted(name, columns)]
        self.schema = pa.schema([pa.field(self._header[i], pa.string()) for i in self._kept])

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if not self._kept:
            return
        text: list[str] = []
        next(filter(None, self._reader(line_blocks(self.path, _HEADER_BYTES), text)))
        header = "".join(text).encode()
        blocks = line_blocks(self.path)
        number, rest = next(blocks)
        if len(header) > len(rest):
            raise UserError(f"the header of '{self.path}' is very long: is a quotation mark missing?")
        # `rest` is what has been read, but may end inside a record; `number` is the number of its first line.
        number, rest = number + header.count(b"\n"), rest[len(header) :]
        for start, block in chain([(number, b"")], blocks):
            both = rest + block
            end = _plain_end(both, self._delimiter)
            table = self._fast(both[:end]) if end else None
            if table is None:
                yield from self._strict(chain([(number, rest), (start, block)], blocks))
                return
            yield from table.combine_chunks().to_batches()
            number, rest = number + count_lines(both[:end]), both[end:]
        yield from self._strict([(number, rest)])

    def _fast(self, block: bytes) -> pa.Table | None:
        """Reads whole records with Arrow. Returns `None` if that might not give what `csv` gives."""
        try:
            block.decode()
            return self._arrow(block, 1 << 20)
        except (UnicodeDecodeError, pa.ArrowException):
            return None

    def _arrow(self, block: bytes, longest: int) -> pa.Table:
        """Reads records, none longer than `longest` bytes, with Arrow."""
        names = [str(i) for i in range(len(self._header))]
        table = pcsv.read_csv(
            # Arrow takes a byte order mark at the beginning, which here belongs to a text; an empty line it skips.
            pa.BufferReader(b"\n" + block),
            pcsv.ReadOptions(column_names=names, block_size=longest, use_threads=False),  # faster for a few MB
            pcsv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            pcsv.ConvertOptions(
                include_columns=[names[i] for i in self._kept],
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
        return table.rename_columns(self.schema.names)

    def _strict(self, blocks: Iterable[tuple[int, bytes]]) -> Iterator[pa.RecordBatch]:
        """Reads blocks of lines, the first of which begins a record, with `csv`."""
        rows: list[list[str]] = []
        text: list[str] = []
        size = 0
        try:
            for cells in self._reader(blocks, text):
                if cells:
                    rows.append(cells)
                    size += sum(map(len, cells))
                if size > _BATCH_CHARACTERS:
                    yield self._batch(rows, text)
                    rows.clear()
                    text.clear()
                    size = 0
        except csv.Error:
            self._find_mistake()
        yield self._batch(rows, text)

    def _batch(self, rows: list[list[str]], text: list[str]) -> pa.RecordBatch:
        try:
            cells = list(zip(*rows, strict=True)) if rows else [()] * len(self._header)
        except ValueError:
            cells = []
        if len(cells) != len(self._header):
            self._find_mistake()
        columns = [pa.array(cells[i], pa.string()) for i in self._kept]
        if any("" in cells[i] for i in self._kept):
            columns = self._with_nulls(columns, "".join(text))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _with_nulls(self, columns: list[pa.Array], text: str) -> list[pa.Array]:
        """Tells missing cells from empty texts, which `csv` does not and Arrow's reader does."""
        block = text.encode()
        found = [column.combine_chunks() for column in self._arrow(block, len(block) + 2).columns]
        assert all(a.equals(b.fill_null("")) for a, b in zip(columns, found, strict=True)), "csv and Arrow disagree"
        return found

    def _find_mistake(self) -> NoReturn:
        """Raises the `UserError` of the first row that is no row of the file."""
        for place, cells in self._placed_records():
            if len(cells) != len(self._header):
                raise UserError(
                    f"{place} has {len(cells)} fields, but the header has {len(self._header)}: is a quotation mark or "
                    "a delimiter missing?"
                )
        raise UserError(f"'{self.path}' changed while it was read")

    def _reader(self, blocks: Iterable[tuple[int, bytes]], text: list[str]) -> Iterator[list[str]]:
        """Returns a reader of blocks of lines. Each line that it reads is appended to `text`."""
        # The limit is the process's own and by default shorter than texts may be.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))

        def lines() -> Iterator[str]:
            for number, block in blocks:
                for line in io.StringIO(decode(block, self.path, number), newline=""):
                    text.append(line)
                    yield line

        return csv.reader(lines(), delimiter=self._delimiter, strict=True)

    def _placed_records(self, size: int = BLOCK_BYTES) -> Iterator[tuple[str, list[str]]]:
        """Yields the place and the cells of each record, the header first; empty lines are skipped."""
        text: list[str] = []
        reader = self._reader(line_blocks(self.path, size), text)
        line = 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise UserError(
                    f"the row that begins in line {line} of '{self.path}' is not {self._kind}: {one_line(error)}"
                ) from error
            if cells is None:
                return
            if cells:
                yield f"line {line} of '{self.path}'", cells
            line += len(text)
            text.clear()

    @property
    def _kind(self) -> str:
        return "TSV" if self._delimiter == "\t" else "CSV"

    def _place(self, row: int) -> str:
        places = (place for place, _ in self._placed_records())
        return next(islice(places, row + 1, None), "the last line").removesuffix(f" of '{self.path}'")


def _plain_end(block: bytes, delimiter: str) -> int:
    """
    Returns the length of the part of a block that is whole records, for a block that begins with one. It is 0 if there
    is no such part, or if a quote is neither at the edge of a field nor doubled inside one, where readers differ.
    """
    characters = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(characters == ord('"'))
    ends = np.flatnonzero(characters == ord("\n"))
    # A line end is one of a record if the number of quotes before it is even.
    ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    if not len(ends):
        return 0
    quotes = quotes[quotes < ends[-1]]
    opening, closing = quotes[::2], quotes[1::2]
    edge = np.zeros(256, bool)
    edge[[ord(delimiter), ord("\n"), ord("\r")]] = True
    doubled = opening[1:] == closing[:-1] + 1
    opens = edge[characters[opening - 1]] | (opening == 0)
    closes = edge[characters[closing + 1]]
    plain = (opens[1:] | doubled).all() and (closes[:-1] | doubled).all() and opens[:1].all() and closes[-1:].all()
    return int(ends[-1]) + 1 if plain else 0
