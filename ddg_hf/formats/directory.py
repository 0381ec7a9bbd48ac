# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Reads a directory of distilled sets, whatever wrote it."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset

from ..data.checks import column_values, is_string, standardise
from ..data.rows import DistilledRow
from ..data.tasks import TASKS, TaskSpec
from ..errors import UserError
from ..provenance import METADATA_FILE
from .labelled import LABEL, LOSS, SET
from .reading import read_table
from .text import one_line

CONFIG = re.compile(r"dpc_(\d+)")


@dataclass(frozen=True)
class DistilledDirectory:
    """
    A directory of distilled sets; see [`open_distilled`].

    Attributes:
        path (`Path`): the directory.
        spec (`TaskSpec`): the registered task, if name, columns and labels are its own; else made from the files.
        tables (`dict[str, pyarrow.Table]`): for each configuration, by ascending number of rows per class, its rows.
        metadata (`dict`): `metadata.json`, empty if there is none.
    """

    path: Path
    spec: TaskSpec
    tables: dict[str, pa.Table]
    metadata: dict[str, Any]

    @property
    def configs(self) -> tuple[str, ...]:
        """Names of the configurations, `dpc_<n>`, by ascending n."""
        return tuple(self.tables)

    def table(self, config: str) -> pa.Table:
        """
        Returns the rows of a configuration: the text columns (string), `label` (int64), `set` (int32; 0 where there is
        none) and `generator_loss` (float32; null where it is not known).

        Raises:
            UserError: no such configuration.
        """
        if config not in self.tables:
            raise UserError(f"'{self.path}' has no '{config}'; it has {', '.join(self.configs)}")
        return self.tables[config]

    def sets(self, config: str) -> dict[int, list[DistilledRow]]:
        """Returns the rows of a configuration by set number, ascending; an unknown loss is NaN."""
        return rows_by_set(self.table(config), self.spec)


def open_distilled(path: str | Path) -> DistilledDirectory:
    """
    Opens a directory with `dpc_<n>/train.parquet`, as `ddg-hf generate`, `convert` and `pull` write it. Every file is
    read and checked. Symbolic links in it are not followed: publishing would upload what they point to.

    Raises:
        UserError: no directory, nothing in it, a broken file or one without the right to read it, a symbolic link, or
            columns or label names that are not the same in all configurations.
    """
    path = Path(os.path.expanduser(path))
    try:
        files = _files(path)
    except OSError as error:
        raise UserError(f"cannot read '{error.filename or path}': {error.strerror or error}") from error
    metadata = _metadata(path)
    tables = {config: read_table(file) for config, file in files.items()}
    described = {config: _describe(tables[config], file) for config, file in files.items()}
    first = next(iter(files))
    for config, found in described.items():
        if found != described[first]:
            raise UserError(f"'{path}': text columns or label names of {config} are not those of {first}")
    task = metadata.get("task")
    spec = _spec(task if isinstance(task, str) else path.resolve().name, *described[first])
    checked = {
        config: check_distilled(as_dataset(tables[config], file), spec, str(file)) for config, file in files.items()
    }
    return DistilledDirectory(path, spec, checked, metadata)


def _files(path: Path) -> dict[str, Path]:
    """Returns the file of each configuration."""
    if not path.is_dir():
        raise UserError(f"'{path}' is no directory of distilled sets")
    numbered = {entry.name: int(match[1]) for entry in path.iterdir() if (match := CONFIG.fullmatch(entry.name))}
    files = {name: path / name / "train.parquet" for name in sorted(numbered, key=numbered.__getitem__)}
    for entry in (path / METADATA_FILE, *(file.parent for file in files.values()), *files.values()):
        if entry.is_symlink():
            raise UserError(f"'{entry}' is a symbolic link, which is not followed; copy what it points to")
    files = {name: file for name, file in files.items() if file.is_file()}
    if not files:
        raise UserError(f"'{path}' holds no distilled sets: there is no dpc_<n>/train.parquet in it")
    return files


def _metadata(path: Path) -> dict[str, Any]:
    file = path / METADATA_FILE
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{file}' is not JSON: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"'{file}' does not hold a JSON object")
    return content


def as_dataset(table: pa.Table, file: Path) -> Dataset:
    """Returns the rows of a file as a `Dataset`. Raises `UserError` if the file describes its columns wrongly."""
    try:
        return Dataset(table)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"'{file}' describes its columns wrongly: {one_line(error)}") from error


def _describe(table: pa.Table, file: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns text columns and label names."""
    features = as_dataset(table, file).features
    columns = tuple(
        field.name for field in table.schema if is_string(field.type) and field.name not in (LABEL, SET, LOSS)
    )
    if not columns:
        raise UserError(f"'{file}' has no text column")
    label = features.get(LABEL)
    if not isinstance(label, ClassLabel):
        raise UserError(
            f"'{file}' has no column 'label' with label names: `ddg-hf convert --label_names` attaches them"
        )
    return columns, tuple(label.names)


def _spec(name: str, columns: tuple[str, ...], labels: Sequence[str]) -> TaskSpec:
    known = TASKS.get(name)
    if known is not None and (sorted(known.text_columns), known.label_names) == (sorted(columns), tuple(labels)):
        return known
    fields = ("Text",) if len(columns) == 1 else tuple(f"Text {i + 1}" for i in range(len(columns)))
    return TaskSpec(name=name, text_columns=columns, label_names=tuple(labels), field_names=fields)


def check_distilled(rows: Dataset, spec: TaskSpec, where: str) -> pa.Table:
    """
    Returns the rows of one configuration as [`DistilledDirectory.table`] does. Label names, where they carry any, must
    be those of the task.

    Args:
        rows: What was read.
        spec: The task.
        where: The file or the name of the configuration, for messages.

    Raises:
        UserError: no rows, or a column that is missing or holds something else.
    """
    # A distilled row has one label, even if those of the task are lists on the Hub.
    table = standardise(rows, replace(spec, row_filter=None), where, LABEL).with_format("arrow")[:]
    numbers = pa.chunked_array([np.zeros(len(rows), np.int32)])
    losses = pa.chunked_array([pa.nulls(len(rows), pa.float32())])
    if SET in rows.column_names:
        numbers = column_values(rows, SET)
    if not pa.types.is_integer(numbers.type) or numbers.null_count:
        raise UserError(f"'set' in '{where}' must be a whole number in every row")
    if LOSS in rows.column_names:
        losses = column_values(rows, LOSS)
    if not any(test(losses.type) for test in (pa.types.is_floating, pa.types.is_integer, pa.types.is_null)):
        raise UserError(f"'generator_loss' in '{where}' holds {losses.type}, not numbers")
    try:
        numbers = numbers.cast(pa.int32())
    except pa.ArrowInvalid as error:
        raise UserError(f"'set' in '{where}' holds a number that is out of range: {error}") from error
    return table.append_column(SET, numbers).append_column(LOSS, losses.cast(pa.float32(), safe=False))


def rows_by_set(table: pa.Table, spec: TaskSpec) -> dict[int, list[DistilledRow]]:
    """Returns what [`check_distilled`] returned by set number, ascending; an unknown loss is NaN."""
    columns = table.to_pydict()
    texts = zip(*(columns[name] for name in spec.text_columns), strict=True)
    found: dict[int, list[DistilledRow]] = {}
    for row, label, number, loss in zip(texts, columns[LABEL], columns[SET], columns[LOSS], strict=True):
        found.setdefault(number, []).append(DistilledRow(row, label, number, float("nan") if loss is None else loss))
    return dict(sorted(found.items()))
