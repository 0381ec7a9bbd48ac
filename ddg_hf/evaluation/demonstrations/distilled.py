# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distilled sets: a directory that `generate` wrote, the same on the Hub, or sets in DiLM's format."""

import re
from pathlib import Path

import numpy as np
from datasets import Dataset, get_dataset_config_names, load_dataset
from datasets.exceptions import DatasetsError

from ddg_hf.data.checks import standardise
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError
from ddg_hf.formats.reading import read_table

from .json_file import read_json_rows
from .sets import DemonstrationSet, to_demonstrations

_CONFIG = re.compile(r"dpc_(\d+)")
_DILM_FILE = re.compile(r"dataset_(\d+)\.json")


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
        except (OSError, ValueError, RuntimeError, DatasetsError) as error:
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
        UserError: nothing there to load, or columns, label names or label ids that are not the task's.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        try:
            return _sets_of(load_dataset(source, config, split="train"), spec, config)
        except (OSError, RuntimeError, DatasetsError) as error:
            raise _not_loaded(source, error) from error
        except ValueError as error:
            raise error if isinstance(error, UserError) else _not_loaded(source, error) from error
    file = folder / config / "train.parquet"
    if file.is_file():
        return _sets_of(Dataset(read_table(file)), spec, config)
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


def _sets_of(dataset: Dataset, spec: TaskSpec, config: str) -> list[DemonstrationSet]:
    """Splits a dataset by its column `set`; without it, all rows are set 0."""
    numbers_N = np.asarray(dataset["set"]) if "set" in dataset.column_names else np.zeros(len(dataset), int)
    rows = to_demonstrations(standardise(dataset, spec, config, "label"), spec)
    return [
        DemonstrationSet(int(number), tuple(rows[i] for i in np.flatnonzero(numbers_N == number)))
        for number in np.unique(numbers_N)
    ]
