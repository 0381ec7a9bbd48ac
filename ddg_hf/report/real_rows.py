# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The training rows that distilled sets are compared with: those that their run recorded, or that the user names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..data.loading import fingerprint, load_data
from ..data.rows import rows_and_labels
from ..data.tasks import TaskSpec
from ..errors import UserError
from ..quality.real_rows import read_real_rows
from .collect import Run
from .values import mapping, number, without_paths

_MOST_VALIDATION = 500
_DATA = ("task", "data_dir", "dataset", "text_columns", "label_column", "label_names")


class RealRows(NamedTuple):
    """
    Real rows of a task.

    Attributes:
        train: The training rows.
        validation: Some of the validation rows, none if there are none.
        note: What a reader has to know about them, mostly nothing.
    """

    train: list[tuple[str, ...]]
    validation: list[tuple[str, ...]]
    note: str


@dataclass
class TrainingRows:
    """
    Loads training rows, each source once.

    Attributes:
        task: Task to load instead of what a run recorded.
        data_dir: Its directory, also for the task that a run recorded.
        train: File of training rows instead.
    """

    task: str | None = None
    data_dir: str | None = None
    train: str | None = None
    _loaded: dict[str, Any] = field(default_factory=dict)

    def of(self, run: Run, study_arguments: Mapping[str, Any]) -> RealRows:
        """
        Returns the real rows of a directory of distilled sets.

        Raises:
            UserError: they cannot be loaded, or are of other columns.
        """
        spec = run.sets.spec
        if self.train is not None:
            return RealRows(self._once(self.train, lambda: read_real_rows(self.train, spec, False)[0]), [], "")
        source = self._source(run, study_arguments)
        if not source.get("task") and not source.get("dataset"):
            raise UserError("it is not recorded which data the sets were made from")
        loaded = self._once(json.dumps(source, sort_keys=True, default=str), lambda: self._load(source))
        theirs, rows, found = loaded
        if sorted(theirs.text_columns) != sorted(spec.text_columns):
            raise UserError(f"the text columns of '{theirs.name}' are not those of the sets")
        recorded = mapping(run.metadata.get("data_fingerprint")).get("train")
        differ = recorded is not None and recorded != found
        note = "These are not the very training rows that the run recorded." if differ else ""
        validation = rows(spec, "validation")
        return RealRows(rows(spec, "train"), validation[:: -(-len(validation) // _MOST_VALIDATION)], note)

    def _source(self, run: Run, study_arguments: Mapping[str, Any]) -> dict[str, Any]:
        recorded = {key: study_arguments.get(key) for key in _DATA if study_arguments.get(key) is not None}
        recorded |= {key: run.arguments.get(key) for key in _DATA if run.arguments.get(key) is not None}
        if self.task is not None:
            recorded = {"task": self.task}
        if self.data_dir is not None:
            recorded["data_dir"] = self.data_dir
        # Where there is no validation split, the seed says which rows are those of training.
        seeds = (run.arguments.get("split_seed"), study_arguments.get("split_seed"), run.arguments.get("seed"), 42)
        return {**recorded, "seed": next(int(seed) for seed in map(number, seeds) if seed is not None)}

    def _load(self, source: dict[str, Any]):
        try:
            spec, dataset = load_data(**source)
        except (TypeError, ValueError, OSError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"the recorded data cannot be loaded: {error}") from error

        def rows(wanted: TaskSpec, split: str) -> list[tuple[str, ...]]:
            return rows_and_labels(dataset[split], wanted)[0]

        return spec, rows, fingerprint(dataset["train"])

    def _once(self, key: str, load) -> Any:
        if key not in self._loaded:
            try:
                self._loaded[key] = load()
            except UserError as error:
                self._loaded[key] = error
        if isinstance(self._loaded[key], UserError):
            raise self._loaded[key]
        return self._loaded[key]


def why_not(error: UserError) -> str:
    """Returns what the page says where training rows cannot be loaded."""
    reason = without_paths(" ".join(str(error).split())).rstrip(".")
    return (
        f"The nearest training rows are missing: {reason}. Pass --data_dir (the directory with "
        "<task>/train.parquet), --task, or --train FILE to ddg-hf report."
    )
