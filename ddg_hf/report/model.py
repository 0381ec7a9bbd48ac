# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a report is about, whatever it was read from: methods, measured rows, comparisons, and what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .values import Estimate

KINDS = ("none", "real", "retrieved", "given", "generated")
_MEASURES = {
    "raw": "In context, raw",
    "calibrated": "In context, batch-calibrated",
    "contextual": "In context, contextual calibration",
    "length_normalized": "In context, length-normalised",
}
# Where one measure stands for all, the first of these that there is.
PREFERRED = ("calibrated", "raw", "contextual")


@dataclass(frozen=True)
class Method:
    """
    A way to come by demonstrations.

    Attributes:
        name: Its name in files.
        title: Its name for people.
        kind: One of [`KINDS`], or empty if that is not known.
        about: One line about it, or empty.
    """

    name: str
    title: str
    kind: str = ""
    about: str = ""


@dataclass(frozen=True)
class Row:
    """
    What was measured of a method with so many demonstrations per class (DPC).

    Attributes:
        method: Name of the method.
        dpc: Demonstrations per class; 0 for none.
        num_sets: Number of sets, or None; of measures with different numbers the greatest.
        fewest_sets: The least of these numbers; None if there is only one.
        num_training_seeds: Number of generators that the sets come from, or None if that is not known.
        accuracies: By measure: `raw`, `calibrated`, `learner:<name>`, ...
        spreads: Standard deviation of the accuracy over sets, by measure.
        quality: Other measurements of the sets.
        cost: Seconds, memory and operations.
    """

    method: str
    dpc: int
    num_sets: int | None = None
    fewest_sets: int | None = None
    num_training_seeds: int | None = None
    accuracies: dict[str, Estimate] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    quality: dict[str, Estimate] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """A paired difference `a` minus `b`; p-values by themselves and after Holm's correction."""

    measure: str
    dpc: int
    a: str
    b: str
    difference: Estimate
    p_value: float | None = None
    p_holm: float | None = None

    def turned(self) -> "Comparison":
        """The same comparison as `b` minus `a`."""
        return Comparison(self.measure, self.dpc, self.b, self.a, self.difference.negated(), self.p_value, self.p_holm)


@dataclass(frozen=True)
class Cell:
    """A command of a study. `state` is `done`, `failed` or `waiting`; the command's words are fit to be shown."""

    name: str
    command: Sequence[str] = ()
    stage: str = ""
    method: str | None = None
    seed: int | None = None
    state: str = "waiting"
    seconds: float | None = None
    estimated_seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Results:
    """
    Measurements on one task and split.

    Attributes:
        task: Name of the task.
        split: Name of the split, where there are results of several splits of the task; otherwise empty.
        num_labels: Number of labels, or None if that is not known.
        facts: What was used, by its name for people: generator, learner, model, split, queries.
        methods: In the order of display.
        rows: In the order of display.
        comparisons: Paired differences.
        ranks: By measure, rows of `method`, `mean_rank`, `num_settings`.
        power: By measure, rows of `dpc`, `a` and `b` (whose spread it is), `points`, `num_sets`, `num_queries`.
        transfer: By measure, rows of `measure` (of sets), `correlation`, `p_holm`, `num_sets`, `num_groups`.
        matching: Rows of `student`, `seed`, `steps`, and `before` and `after` with what was measured on fresh texts.
    """

    task: str
    split: str = ""
    num_labels: int | None = None
    facts: dict[str, str] = field(default_factory=dict)
    methods: Sequence[Method] = ()
    rows: Sequence[Row] = ()
    comparisons: Sequence[Comparison] = ()
    ranks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    power: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    transfer: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    matching: Sequence[dict[str, Any]] = ()

    @property
    def subject(self) -> str:
        """What was measured on: the task, and its split where there are several."""
        return self.titled(self.task)

    def titled(self, title: str) -> str:
        """Returns a title that says which split it is about, where there are several."""
        return f"{title} ({self.split})" if self.split else title

    @property
    def measures(self) -> list[str]:
        """Measures that any row has: in context before learners, in the order in which they occur."""
        found = dict.fromkeys(name for row in self.rows for name in row.accuracies)
        return sorted(found, key=is_of_learner)

    @property
    def in_context(self) -> list[str]:
        """Measures of language models that were shown the sets."""
        return [name for name in self.measures if not is_of_learner(name)]

    @property
    def of_learners(self) -> list[str]:
        """Measures of classifiers that were trained on the sets."""
        return [name for name in self.measures if is_of_learner(name)]

    @property
    def dpcs(self) -> list[int]:
        """Numbers of demonstrations per class, ascending, without 0."""
        return sorted({row.dpc for row in self.rows if row.dpc > 0})

    def method(self, name: str) -> Method:
        """The method called `name`, made up if it is not listed."""
        return next((method for method in self.methods if method.name == name), Method(name, name))

    def title(self, name: str) -> str:
        """A method's name for people."""
        return self.method(name).title

    def main_method(self) -> Method | None:
        """The method that the report is about: DDG, or the last of those that write texts."""
        generated = [method for method in self._measured() if method.kind == "generated"]
        named = [method for method in generated if method.name == "ddg"]
        return (named or generated[-1:] or [None])[0]

    def reference_method(self) -> Method | None:
        """What it is compared with first: training rows at random, or the first of other training rows."""
        real = {method.name: method for method in self._measured() if method.kind == "real"}
        return next((real[name] for name in ("balanced", "random") if name in real), next(iter(real.values()), None))

    def _measured(self) -> list[Method]:
        there = {row.method for row in self.rows}
        return [method for method in self.methods if method.name in there]

    def main_measure(self) -> str | None:
        """The measure that stands for all, or None if there is none."""
        names = self.measures
        # Of several language models the name of the model follows that of the measure.
        preferred = (name for kind in PREFERRED for name in names if name.partition("@")[0] == kind)
        return next(preferred, names[0] if names else None)


def is_of_learner(measure: str) -> bool:
    """Whether a measure is the accuracy of a classifier that was trained on the sets."""
    return measure.startswith("learner:")


def measure_title(measure: str) -> str:
    """Returns a measure's name for people."""
    kind, _, model = measure.partition("@")
    if kind.startswith("learner:"):
        return f"As training data, {kind.removeprefix('learner:')}"
    title = _MEASURES.get(kind, kind)
    return f"{title}, {model}" if model else title
