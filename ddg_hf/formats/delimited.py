# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Reads CSV and TSV (RFC 4180 quoting, UTF-8) in bounded memory. Every column is text."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.csv as pc_csv

from ..errors import UserError
from .source import Source, check_distinct, is_wanted
from .text import MAX_LINE_BYTES, decode, line_blocks, one_line

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BATCH_CHARACTERS = 1 << 20


class Delimited(Source):
    """
    A CSV or TSV file with a header. A cell without anything in it is missing (null); an empty text is `""`.

    Raises:
        UserError: the file cannot be read, is empty, or its header has a column twice.
    """

    typed = False

    def __init__(self, path: Path, columns: Sequence[str] | None = None):
        self.path = path
        self._delimiter = DELIMITERS.get(path.suffix.lower(), ",")
        place, self._header = next(self._placed_records(), ("", []))
        if not self._header:
            raise UserError(f"'{path}' is empty")
        check_distinct(self._header, place)
        self.found = tuple(self._header)
        self._kept = [i for i, name in enumerate(self._header) if is_wanted(name, columns)]
        self.schema = pa.schema([pa.field(self._header[i], pa.string()) for i in self._kept])

    def _batches(self) -> Iterator[pa.RecordBatch]:
        rows: list[list[str]] = []
        text: list[str] = []
        reader = self._reader(text)
        try:
            while not next(reader, None):  # the header, and empty lines before it
                pass
            text.clear()
            size = 0
            for cells in reader:
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

    def _find_mistake(self) -> NoReturn:
        """Raises the `UserError` of the first row that is no row of the file."""
        for place, cells in self._placed_records():
            if len(cells) != len(self._header):
                raise UserError(
                    f"{place} has {len(cells)} fields, but the header has {len(self._header)}: is a quotation mark or "
                    "a delimiter missing?"
                )
        raise UserError(f"'{self.path}' changed while it was read")

    def _with_nulls(self, columns: list[pa.Array], text: str) -> list[pa.Array]:
        """Tells missing cells from empty texts, which `csv` does not and Arrow's reader does."""
        names = [str(i) for i in range(len(self._header))]
        data = text.encode()
        table = pc_csv.read_csv(
            pa.BufferReader(data),
            pc_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
            pc_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            pc_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
        found = [table.column(i).combine_chunks() for i in self._kept]
        assert all(a.equals(b.fill_null("")) for a, b in zip(columns, found, strict=True)), "csv and Arrow disagree"
        return found

    def _reader(self, text: list[str]) -> Iterator[list[str]]:
        """Returns a reader of the file. Each line that it reads is appended to `text`."""
        # The limit is the process's own and by default shorter than texts may be.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))

        def lines() -> Iterator[str]:
            for number, block in line_blocks(self.path):
                for line in io.StringIO(decode(block, self.path, number), newline=""):
                    text.append(line)
                    yield line

        return csv.reader(lines(), delimiter=self._delimiter, strict=True)

    def _placed_records(self) -> Iterator[tuple[str, list[str]]]:
        """Yields the place and the cells of each record, the header first; empty lines are skipped."""
        text: list[str] = []
        reader = self._reader(text)
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
