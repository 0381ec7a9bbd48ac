# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Reads Parquet, Arrow IPC files and streams, and directories that `Dataset.save_to_disk` wrote.

Memory is bounded by a number of rows of any length, not by that of bytes in the file, where a long text may stand once
for many rows. A record batch of an Arrow file is read whole.
"""

import abc
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.checks import is_string
from ..errors import UserError
from .source import Source, check_distinct, is_wanted
from .text import one_line

STATE_FILE = "state.json"
_BATCH_BYTES = 4 << 20
# So many rows are decoded at a time: their size is known only then.
_PART_ROWS = 128
# A dictionary comes with every batch and is checked each time: more rows then, which are decoded in parts.
_DICTIONARY_ROWS = 2048
# pyarrow raises these for broken files; MemoryError where a size in the file is absurd.
_BROKEN = (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, pa.ArrowException)


class _ArrowSource(Source):
    """A file with a schema of its own."""

    def __init__(self, path: Path, columns: Sequence[str] | None = None):
        self.path = path
        self._columns = columns
        try:
            schema = self._read_schema()
            names = schema.names
        except UserError:
            raise
        except _BROKEN as error:
            raise self._broken(error) from error
        check_distinct(names, f"'{path}'")
        self.found = tuple(names)
        kept = [_as_text(field) for field in schema if is_wanted(field.name, columns)]
        self.schema = pa.schema(kept, metadata=schema.metadata)

    @abc.abstractmethod
    def _read_schema(self) -> pa.Schema:
        """Returns the columns of the file."""

    @abc.abstractmethod
    def _read(self) -> Iterator[pa.RecordBatch]:
        """Yields the rows as they are in the file."""

    def _broken(self, error: BaseException) -> UserError:
        return UserError(f"cannot read '{self.path}': {one_line(error)}")

    def _batches(self) -> Iterator[pa.RecordBatch]:
        held: list[pa.RecordBatch] = []
        size = 0
        for part in self._decoded():
            if size + part.nbytes > _BATCH_BYTES:
                yield from self._joined(held)
                held, size = [], 0
            held.append(part)
            size += part.nbytes
        yield from self._joined(held)

    def _joined(self, parts: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """Returns the rows in one batch, or none if there are no rows."""
        try:
            return pa.Table.from_batches(parts, self.schema).combine_chunks().to_batches()
        except _BROKEN as error:
            raise self._broken(error) from error

    def _decoded(self) -> Iterator[pa.RecordBatch]:
        """Yields the rows with `schema`, checked; where texts are decoded in doing so, a few rows at a time."""
        batches = self._read()
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                batch = batch.select(self.schema.names)
                # What the file says of itself may be wrong: offsets, lengths, UTF-8.
                batch.validate(full=True)
                encoded = any(_is_encoded(kind) for kind in batch.schema.types)
                rows = _PART_ROWS if encoded else max(1, batch.num_rows)
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    columns = [values.cast(field.type) for values, field in zip(part, self.schema, strict=True)]
                    yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
            except UserError:
                raise
            except _BROKEN as error:
                raise self._broken(error) from error

    def _place(self, row: int) -> str:
        return f"row {row + 1}"


def _as_text(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.string() if _is_encoded(field.type) or is_string(field.type) else field.type)


def _is_encoded(kind: pa.DataType) -> bool:
    """Whether a text that several rows have may be there once."""
    return pa.types.is_string_view(kind) or pa.types.is_dictionary(kind) and is_string(kind.value_type)


class Parquet(_ArrowSource):
    """A Parquet file."""

    def _read_schema(self) -> pa.Schema:
        with pq.ParquetFile(self.path) as file:
            return file.schema_arrow

    def _read(self) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            encoded = any(_is_encoded(file.schema_arrow.field(name).type) for name in self.schema.names)
            yield from file.iter_batches(_DICTIONARY_ROWS if encoded else _PART_ROWS, columns=self.schema.names)


class ArrowFile(_ArrowSource):
    """An Arrow IPC file or stream, whichever it is."""

    def _read_schema(self) -> pa.Schema:
        with pa.OSFile(str(self.path)) as file, self._open(file) as reader:
            return reader.schema

    def _read(self) -> Iterator[pa.RecordBatch]:
        # Not memory-mapped: the file may be changed or cut by others, which would end the process.
        with pa.OSFile(str(self.path)) as file, self._open(file) as reader:
            if isinstance(reader, pa.RecordBatchFileReader):
                yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
            else:
                yield from reader

    @staticmethod
    def _open(file: pa.NativeFile) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
        magic = file.read(6)
        file.seek(0)
        return pa.ipc.open_file(file) if magic == b"ARROW1" else pa.ipc.open_stream(file)


class DatasetDirectory(_ArrowSource):
    """A directory that `Dataset.save_to_disk` wrote. Nothing but the Arrow files that it names is read."""

    def _read_schema(self) -> pa.Schema:
        self._parts = [ArrowFile(file, self._columns) for file in self._files()]
        schema = self._parts[0].schema
        for part in self._parts:
            if not part.schema.equals(schema):
                raise UserError(f"the columns of '{part.path}' are not those of '{self._parts[0].path}'")
        return schema

    def _files(self) -> list[Path]:
        state = self.path / STATE_FILE
        try:
            content = json.loads(state.read_text(encoding="utf-8"))
            names = [entry["filename"] for entry in content["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"'{state}' does not name the files of a dataset: {one_line(error)}") from error
        if not names:
            raise UserError(f"'{self.path}' holds no data")
        files = []
        for name in names:
            if not isinstance(name, str) or Path(name).name != name or "\0" in name:
                raise UserError(f"'{state}' names {name!r}, which is no file of this directory")
            file = self.path / name
            if file.is_symlink():
                raise UserError(f"'{file}' is a symbolic link, which is not followed; copy the file")
            files.append(file)
        return files

    def _read(self) -> Iterator[pa.RecordBatch]:
        for part in self._parts:
            yield from part._batches()
