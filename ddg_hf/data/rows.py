# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Rows of a loaded data set as plain Python: one tuple of texts per row, and label ids."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset, DatasetDict

from ..errors import UserError, closest
from .loading import fingerprint
from .tasks import TaskSpec


@dataclass(frozen=True)
class DistilledRow:
    """One row of a distilled set; `generator_loss` in nats per token, NaN where it is not known."""

    texts: tuple[str, ...]
    label: int
    set: int
    generator_loss: float


def rows_and_labels(dataset: Dataset, spec: TaskSpec) -> tuple[list[tuple[str, ...]], list[int]]:
    """Returns N rows, each with one text per column of `spec`, and N label ids."""
    columns = [list(dataset[name]) for name in spec.text_columns]
    return list(zip(*columns, strict=True)), list(dataset["label"])


def split_of(dataset: Mapping[str, Dataset], name: str) -> Dataset:
    """Returns the split of that name. Raises `UserError` if there is none."""
    if name not in dataset:
        raise UserError(f"there is no split '{name}'.{closest(name, dataset)} There are {', '.join(dataset)}.")
    return dataset[name]


def check_classes(labels: Sequence[int], spec: TaskSpec, dpc: int) -> None:
    """Raises `UserError` if a class has fewer than `dpc` of the training rows, whose label ids these are."""
    counts_K = np.bincount(labels, minlength=spec.num_labels)
    if counts_K.min() < dpc:
        name = spec.label_names[int(counts_K.argmin())]
        raise UserError(f"class '{name}' has {counts_K.min()} training rows, fewer than --dpc {dpc}; lower --dpc")


def fingerprints(dataset: DatasetDict) -> dict[str, str]:
    """SHA-256 of the content of each split."""
    return {split: fingerprint(rows) for split, rows in dataset.items()}


def set_fingerprint(rows: Iterable[tuple[tuple[str, ...], int]]) -> str:
    """SHA-256 of a set of rows (texts, label id), whatever the order of the rows and of the text columns."""
    lines = sorted(json.dumps([sorted(texts), int(label)]) for texts, label in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
