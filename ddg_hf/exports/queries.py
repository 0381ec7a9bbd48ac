# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Labelled queries for formats that test a prompt."""

from collections.abc import Sequence

from ..data.loading import load_data
from ..data.rows import split_of
from ..data.tasks import TASKS, TaskSpec
from ..errors import UserError
from ..evaluation.demonstrations import Demonstration, balanced_sample, to_demonstrations
from ..evaluation.icl.prompts import warn_empty_queries


def is_registered(spec: TaskSpec) -> bool:
    """Returns whether a task is one that can be loaded by its name."""
    return TASKS.get(spec.name) == spec


def load_queries(
    spec: TaskSpec,
    split: str,
    test_number: int | None,
    seed: int,
    data_dir: str | None = None,
    dataset: str | None = None,
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
) -> list[Demonstration]:
    """
    Returns the queries that `ddg-hf evaluate-icl` asks with the same arguments, with their labels.

    Args:
        spec: The task of the demonstrations.
        split: Split that the rows come from.
        test_number: Number of rows, drawn with the classes as equal as possible; the whole split if `None`.
        seed: Seed of the choice, and of a validation split that has to be set aside.
        data_dir: Directory with `<task>/<split>.parquet` of a registered task; otherwise it comes from the Hub.
        dataset: Hub id, directory or file of any other data.
        text_columns: Its text columns, in the order of those of the demonstrations; by default the same names.
        label_column: Its label column; `label` by default.

    Raises:
        UserError: the task is not registered and no `dataset` is given, there is no such split, and as
            [`~ddg_hf.data.loading.load_data`] does.
    """
    if dataset is None and not is_registered(spec):
        raise UserError(f"'{spec.name}' is no registered task; say where labelled queries are with --dataset")
    if dataset is None:
        _, data = load_data(task=spec.name, data_dir=data_dir, seed=seed)
    else:
        columns = list(text_columns or spec.text_columns)
        if len(columns) != len(spec.text_columns):
            raise UserError(f"--text_columns must name {len(spec.text_columns)} columns, as many as the sets have")
        found, data = load_data(
            dataset=dataset,
            data_dir=data_dir,
            text_columns=columns,
            label_column=label_column,
            label_names=spec.label_names,
            seed=seed,
        )
    rows = split_of(data, split)
    rows = rows.select(balanced_sample(rows["label"], test_number, seed, spec.num_labels))
    queries = to_demonstrations(rows, spec if dataset is None else found)
    warn_empty_queries([texts for texts, _ in queries])
    return queries
