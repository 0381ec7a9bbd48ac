# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Opens a file of any format, or the one that a directory holds."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from ..errors import UserError
from .arrow_files import STATE_FILE, ArrowFile, DatasetDirectory, Parquet
from .delimited import Delimited
from .json_files import open_json
from .source import Source

_READERS = {
    ".jsonl": open_json,
    ".json": open_json,
    ".csv": Delimited,
    ".tsv": Delimited,
    ".parquet": Parquet,
    ".arrow": ArrowFile,
    ".arrows": ArrowFile,
}
FILE_TYPES = tuple(_READERS)
# Files that say something about the data beside them.
_DESCRIPTIONS = ("metadata.json", "checks.json", "dataset_info.json", "dataset_infos.json")
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".dill")


def open_source(path: str | Path, columns: Sequence[str] | None = None) -> Source:
    """
    Opens a file of labelled texts by the end of its name: JSON Lines or a JSON array (`.jsonl`, `.json`), CSV, TSV,
    Parquet, Arrow (`.arrow`, `.arrows`: IPC file or stream); or a directory with one such file, or one that
    `Dataset.save_to_disk` wrote.

    Args:
        path: The file or directory.
        columns: Columns that are read, where they exist; `None` for all. What others hold does not matter.

    Raises:
        UserError: nothing there, or it cannot be read: the message names the file, and line and column where there
            are any.
    """
    path = Path(os.path.expanduser(path))
    if path.is_dir():
        return _open_directory(path, columns)
    if not path.is_file():
        raise UserError(f"'{path}' is no file" if path.exists() else f"'{path}' does not exist")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"'{path}' is none of the file types that can be read: {', '.join(FILE_TYPES)}")
    return reader(path, columns)


def read_batches(path: str | Path, columns: Sequence[str] | None = None) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Returns the columns of a file and its rows in order, a few MB at a time; see [`open_source`]."""
    source = open_source(path, columns)
    return source.schema, source.batches()


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Returns all rows of a file, with its metadata; see [`open_source`]."""
    source = open_source(path, columns)
    return pa.Table.from_batches(source.batches(), source.schema)


def _open_directory(path: Path, columns: Sequence[str] | None) -> Source:
    check_directory(path)
    if (path / STATE_FILE).is_file():
        return DatasetDirectory(path, columns)
    if (path / "dataset_dict.json").is_file():
        splits = sorted(entry.parent.name for entry in path.glob(f"*/{STATE_FILE}"))
        raise UserError(f"'{path}' has the splits {', '.join(splits)}: give the directory of one of them")
    files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in FILE_TYPES and entry.is_file())
    files = [file for file in files if file.name not in _DESCRIPTIONS]
    if not files:
        inner = sorted(entry for entry in path.glob("*/*") if entry.suffix.lower() in FILE_TYPES)
        hint = f"; give a file in it, such as '{inner[0]}'" if inner else ""
        raise UserError(f"'{path}' holds no data{hint}")
    if len(files) > 1:
        raise UserError(f"'{path}' holds {len(files)} data files ({files[0].name}, {files[1].name}, ...): name one")
    return open_source(files[0], columns)


def check_directory(path: Path) -> None:
    """Raises `UserError` if a directory holds a symbolic link or a file that may be a pickle."""
    for entry in sorted(path.iterdir()):
        if entry.is_symlink():
            raise UserError(f"'{entry}' is a symbolic link, which is not followed; copy what it points to")
        if entry.suffix.lower() in _PICKLES:
            raise UserError(
                f"'{entry}' may be a pickle, which can run code when it is loaded and is never read; remove it"
            )
