# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Writes record batches in any format, in bounded memory."""

import contextlib
import functools
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from .delimited import DELIMITERS

_GROUP_BYTES = 64 << 20
Write = Callable[[pa.RecordBatch], None]


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], suffix: str | None = None) -> int:
    """
    Writes batches to a file, or to the new directory `path` if the format is a `datasets` directory.

    Args:
        path: Where to write; what is there is overwritten.
        schema: Columns and metadata; Parquet and Arrow keep both.
        batches: The rows, with these columns.
        suffix: The format, `.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`, `.arrow` (IPC file), `.arrows` (IPC stream)
            or `""` (a directory that `Dataset.load_from_disk` reads); by default the end of the name.

    Returns:
        The number of rows.
    """
    suffix = path.suffix.lower() if suffix is None else suffix
    if suffix == "":
        return _write_dataset(path, schema, batches)
    rows = 0
    with _WRITERS[suffix](path, schema) as write:
        for batch in batches:
            write(batch)
            rows += batch.num_rows
    return rows


@contextlib.contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    held: list[pa.RecordBatch] = []

    def write(batch: pa.RecordBatch) -> None:
        held.append(batch)
        if sum(part.nbytes for part in held) >= _GROUP_BYTES:
            flush()

    def flush() -> None:
        # `write_batch` would hold a row group until it has a number of rows, however long they are.
        if held:
            writer.write_table(pa.Table.from_batches(held, schema))
            held.clear()

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield write
        flush()


@contextlib.contextmanager
def _arrow_file(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        yield writer.write_batch


@contextlib.contextmanager
def _arrow_stream(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        yield writer.write_batch


@contextlib.contextmanager
def _delimited(path: Path, schema: pa.Schema, delimiter: str) -> Iterator[Write]:
    # Every text is quoted, also an empty one, so that it differs from a missing value.
    options = pcsv.WriteOptions(delimiter=delimiter)
    with pcsv.CSVWriter(str(path), schema, write_options=options) as writer:
        yield writer.write_batch


@contextlib.contextmanager
def _json_lines(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield lambda batch: file.writelines(f"{row}\n" for row in _objects(batch))


@contextlib.contextmanager
def _json_array(path: Path, schema: pa.Schema) -> Iterator[Write]:
    separator = "[\n"

    def write(batch: pa.RecordBatch) -> None:
        nonlocal separator
        for row in _objects(batch):
            file.write(separator + row)
            separator = ",\n"

    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield write
        file.write("[]\n" if separator == "[\n" else "\n]\n")


def _objects(batch: pa.RecordBatch) -> Iterator[str]:
    """Yields each row as a JSON object in one line. JSON has no NaN and no infinity: they become null."""
    dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
    floats = [field.name for field in batch.schema if pa.types.is_floating(field.type)]
    for row in batch.to_pylist():
        for name in floats:
            if row[name] is not None and not math.isfinite(row[name]):
                row[name] = None
        yield dump(row)


_WRITERS = {
    ".parquet": _parquet,
    ".arrow": _arrow_file,
    ".arrows": _arrow_stream,
    **{suffix: functools.partial(_delimited, delimiter=mark) for suffix, mark in DELIMITERS.items()},
    ".jsonl": _json_lines,
    ".json": _json_array,
}


def _write_dataset(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    from datasets import Dataset

    # `save_to_disk` copies the rows once more, but what the directory looks like is the library's business.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        file = Path(folder) / "rows.arrows"
        rows = write_batches(file, schema, batches)
        Dataset.from_file(str(file)).save_to_disk(path)
    return rows
