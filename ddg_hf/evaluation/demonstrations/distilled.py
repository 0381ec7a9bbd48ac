# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distilled sets: a directory that `generate` wrote, the same on the Hub, or sets in DiLM's format."""

import re
from pathlib import Path

from datasets import Dataset, get_dataset_config_names, load_dataset
from datasets.exceptions import DatasetsError

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError
from ddg_hf.formats.directory import as_dataset, check_distilled, rows_by_set
from ddg_hf.formats.reading import read_table

from .json_file import read_json_rows
from .sets import DemonstrationSet

_CONFIG = re.compile(r"dpc_(\d+)")
_DILM_FILE = re.compile(r"dataset_(\d+)\.json")
# What loading from the Hub raises, also for files that are not what they should be.
_HUB_ERRORS = (OSError, ValueError, TypeError, KeyError, RuntimeError, DatasetsError)


def available_dpc(source: str) -> list[int]:
    """
    Returns the demonstrations per class that a distilled dataset offers, ascending: 5 for the configuration `dpc_5`.

    Args:
        source: Directory or Hub id.

    Raises:
        UserError: it is not there, or has no such configuration.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        names = [path.name for path in folder.iterdir() if path.is_dir()]
    else:
        try:
            names = get_dataset_config_names(source)
        except _HUB_ERRORS as error:
            raise _not_loaded(source, error) from error
    found = sorted(int(match[1]) for match in map(_CONFIG.fullmatch, names) if match)
    if not found:
        raise UserError(f"'{source}' holds no distilled sets: there is no dpc_<n> in it")
    return found


def load_distilled(source: str, config: str, spec: TaskSpec) -> list[DemonstrationSet]:
    """
    Loads the distilled sets of one configuration.

    Args:
        source: A directory that `generate` wrote (`<config>/train.parquet`), the same on the Hub, or a directory with
            sets in DiLM's format (`<config>/dataset_<i>.json`, JSON lines with the label in `labels`).
        config: Name of the configuration, e.g. `dpc_5`.
        spec: The task; its columns and label names must be those of the sets.

    Returns:
        The sets, by ascending number.

    Raises:
        UserError: nothing there to load, columns, label names or label ids that are not the task's, or a `set` that is
            no whole number.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        try:
            rows = load_dataset(source, config, split="train")
        except _HUB_ERRORS as error:
            raise _not_loaded(source, error) from error
        return _sets_of(rows, spec, f"{source}/{config}")
    file = folder / config / "train.parquet"
    if file.is_file():
        return _sets_of(as_dataset(read_table(file), file), spec, str(file))
    numbered = sorted(
        (int(match[1]), path)
        for path in (folder / config).glob("dataset_*.json")
        if (match := _DILM_FILE.fullmatch(path.name))
    )
    if not numbered:
        offered = ", ".join(f"dpc_{dpc}" for dpc in available_dpc(source))
        raise UserError(f"'{source}' has no sets for '{config}' (train.parquet or dataset_<i>.json); it has {offered}")
    return [DemonstrationSet(number, tuple(row for _, row in read_json_rows(path, spec))) for number, path in numbered]


def _not_loaded(source: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:300]
    return UserError(f"cannot load '{source}': it is no directory, and as a Hub id it fails with: {reason}")


def _sets_of(rows: Dataset, spec: TaskSpec, where: str) -> list[DemonstrationSet]:
    """Splits rows by their column `set`; without it, all are set 0."""
    found = rows_by_set(check_distilled(rows, spec, where), spec)
    return [DemonstrationSet(number, tuple((row.texts, row.label) for row in kept)) for number, kept in found.items()]
