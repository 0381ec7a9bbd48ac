# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is common to the files of all formats that can be read."""

import abc
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..data.checks import is_string
from ..errors import UserError
from .text import shown


class Source(abc.ABC):
    """
    A file of rows, read batch by batch.

    Opening it checks what can be checked without the rows; formats without a schema are read once from end to end. The
    columns are those of the file, text always as `string`, without any that is not wanted.

    Attributes:
        path (`Path`): the file.
        schema (`pyarrow.Schema`): names and types of the columns, and the file's own metadata.
        found (`tuple[str, ...]`): names of columns that the file has, wanted or not, for messages.
        typed (`bool`): whether the format tells numbers from text; CSV and TSV do not.
    """

    path: Path
    schema: pa.Schema
    found: tuple[str, ...]
    typed: bool = True

    @abc.abstractmethod
    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Yields the rows in order, with `schema`, a few MB at a time."""

    @abc.abstractmethod
    def _place(self, row: int) -> str:
        """Where a row (from 0) is in the file: `"line 3"`."""

    def place(self, row: int) -> str:
        """Where a row (counted from 0) is, for a message: `"line 3 of 'data.csv'"`. Reads the file up to there."""
        return f"{self._place(row)} of '{self.path}'"

    def batches(self) -> Iterator[pa.RecordBatch]:
        """
        Yields the rows in order, a few MB at a time.

        Raises:
            UserError: a value that cannot be read, text that is not UTF-8, or a NUL character in a text.
        """
        row = 0
        for batch in self._batches():
            for name, values in zip(batch.schema.names, batch.columns, strict=True):
                at = _first_nul(values) if is_string(values.type) else None
                if at is not None:
                    raise UserError(f"{shown(name)} has a NUL character in {self.place(row + at)}; remove it")
            yield batch
            row += batch.num_rows


def _first_nul(values: pa.Array) -> int | None:
    """Returns the index of the first text with a NUL character, or `None`."""
    data = values.buffers()[2]
    if data is None or np.frombuffer(data, np.uint8).all():  # what nearly every file has
        return None
    return first_true(pc.match_substring(values, "\0"))


def first_true(mask: pa.Array) -> int | None:
    """Returns the index of the first true value, or `None`."""
    at = pc.index(mask, True).as_py()
    return None if at < 0 else at


def check_distinct(names: Sequence[str], what: str) -> None:
    """Raises `UserError` if a name is there twice; `what` has them, such as `"line 1 of 'data.csv'"`."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{what} has two columns {shown(name)}; rename or remove one")
        seen.add(name)


def is_wanted(name: str, columns: Sequence[str] | None) -> bool:
    """Whether a column is among those asked for; `None` asks for all."""
    return columns is None or name in columns
