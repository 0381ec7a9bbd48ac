# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Confusion matrices of evaluations, and the labels that are confused most often."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError
from ..evaluation.metrics import confusion_matrix
from ..evaluation.results import PREDICTIONS_FILE
from .collect import Contents, Run
from .evaluations import Evaluated, evaluated, learner_measure, method_of, with_rounds
from .figures import HEAT, INK, MUTED, RULE, Plot, label, new_figure
from .model import measure_title
from .tables import Column, Table
from .values import mappings, number, slug, texts

_NO_ANSWER = "no answer"
MOST_NUMBERS = 12  # labels; with more the numbers cannot be read
_MOST_LABELS = 40
_PAIRS = 20


@dataclass(frozen=True)
class Confusion:
    """
    Counts of a method, summed over its runs: rows are labels, columns what they were taken for, then no answer.

    Attributes:
        task: Name of the task.
        method: Title of the method, with the number of rounds where prompts do not show whole sets.
        measure: As in results: with the language model where there are several.
        dpc: Demonstrations per class; 0 for none.
        labels: Names of the labels.
        counts: The matrix.
        split: The split where there are several of the task, otherwise empty.
    """

    task: str
    method: str
    measure: str
    dpc: int
    labels: tuple[str, ...]
    counts: np.ndarray
    split: str = ""

    @property
    def model(self) -> str:
        """The language model where there are several, otherwise empty."""
        return "" if self.measure.startswith("learner:") else self.measure.partition("@")[2]

    @property
    def title(self) -> str:
        """What it is of, for people."""
        parts = [self.method, f"DPC {self.dpc}" if self.dpc else "", self.model, self.split]
        return ", ".join(part for part in parts if part)


def confusions(contents: Contents) -> list[Confusion]:
    """
    Returns the matrices of all evaluations, those of the same method, measure, DPC and split added up.

    Raises:
        UserError: the predictions of an evaluation cannot be read.
    """
    found: dict[tuple, Confusion] = {}
    for group in evaluated(contents):
        for run in group.runs:
            labels, method = tuple(texts(run.results.get("label_names"))), method_of(contents, run)
            for measure, dpc, rounds, counts in _matrices(group, run, len(labels)):
                title = with_rounds(method, dpc, rounds).title
                key = (group.task, group.split, title, measure, dpc, labels)
                before = found[key].counts if key in found else 0
                found[key] = Confusion(group.task, title, measure, dpc, labels, counts + before, group.shown_split)
    return list(found.values())


def _matrices(group: Evaluated, run: Run, num_labels: int) -> list[tuple[str, int, int | None, np.ndarray]]:
    """Measure, DPC, rounds and counts of each matrix of an evaluation."""
    if run.stage == "evaluate-learner":
        return _of_learner(run, num_labels)
    matrices = []
    for entry in mappings(run.results.get("confusion")):
        dpc, kind, counts = number(entry.get("dpc")), entry.get("prediction"), entry.get("counts")
        try:
            matrix = np.array(counts, dtype=np.int64)
        except (TypeError, ValueError, OverflowError):
            continue
        if dpc is not None and isinstance(kind, str) and matrix.shape == (num_labels, num_labels + 1):
            matrices.append((group.measure(run, kind), int(dpc), number(entry.get("rounds")), matrix))
    return matrices


def _of_learner(run: Run, num_labels: int) -> list[tuple[str, int, None, np.ndarray]]:
    file = run.path / PREDICTIONS_FILE
    if not file.is_file():
        return []
    try:
        table = pq.read_table(file, columns=["dpc", "reference", "prediction"])
        dpc, reference, prediction = (table[name].to_numpy() for name in table.column_names)
        return [
            (
                learner_measure(run),
                int(n),
                None,
                confusion_matrix(prediction[dpc == n], reference[dpc == n], num_labels),
            )
            for n in np.unique(dpc)
        ]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UserError(f"cannot read '{file}': {' '.join(str(error).split())}") from error


def confusion_plots(found: Sequence[Confusion], order: Sequence[str]) -> list[Plot]:
    """
    Returns a figure of each method, for each split and language model: the greatest DPC, and one measure (calibrated
    first).
    """
    plots = []
    for place in dict.fromkeys((one.task, one.split) for one in found):
        mine = [one for one in found if (one.task, one.split) == place]
        methods = dict.fromkeys(one.method for one in mine)
        for measure in _measures(mine):
            for method in sorted(methods, key=lambda m: order.index(m) if m in order else len(order)):
                matches = [one for one in mine if (one.method, one.measure) == (method, measure)]
                if matches:
                    plots.append(_plot(max(matches, key=lambda one: one.dpc)))
    return plots


def _measures(found: Sequence[Confusion]) -> list[str]:
    """One kind of answers in context, of every language model; the first learner if there is none."""
    names = list(dict.fromkeys(one.measure for one in found))
    kinds = {name.partition("@")[0] for name in names}
    chosen = next((kind for kind in ("calibrated", "raw") if kind in kinds), None)
    if chosen is None:
        return [name for name in names if name.startswith("learner:")][:1]
    return [name for name in names if name.partition("@")[0] == chosen]


def _plot(one: Confusion) -> Plot:
    answered = one.counts[:, -1].sum() == 0
    columns = list(one.labels) + ([] if answered else [_NO_ANSWER])
    counts = one.counts[:, : len(columns)]
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    size = len(one.labels)

    def draw():
        cell = 0.56 if size <= 3 else 0.36 if size <= MOST_NUMBERS else 4.5 / size
        room = 1.2 if size <= _MOST_LABELS else 0.5  # for the names of the labels
        figure, (axes,) = new_figure(room + cell * len(columns), room + cell * size)
        from matplotlib.patches import Rectangle

        # Rectangles, not an image: the page gives them its own colours. Only a part of the strength, so that the
        # numbers on them can be read.
        for i, j in zip(*np.nonzero(counts), strict=True):
            strength = round(0.06 + 0.5 * float(shares[i, j]), 3)
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=HEAT, alpha=strength, linewidth=0))
            if size <= MOST_NUMBERS:
                axes.text(j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=8.5, color=INK)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_aspect("equal")
        if size <= _MOST_LABELS:
            small = 9 if size <= MOST_NUMBERS else 6
            axes.set_xticks(
                range(len(columns)), [label(c, 24) for c in columns], rotation=40, ha="right", rotation_mode="anchor"
            )
            axes.set_yticks(range(size), [label(name, 24) for name in one.labels])
            axes.tick_params(labelsize=small)
        else:
            axes.set_xticks([])
            axes.set_yticks([])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set(visible=True, color=RULE)
        axes.set_xlabel("Predicted", color=MUTED)
        axes.set_ylabel("True label", color=MUTED)
        return figure

    measure = measure_title(one.measure)
    title = one.title
    right = int(np.trace(counts[:, :size]))
    total = int(totals.sum())
    pairs = _confused(one, 1)
    caption = f"{measure}. Percent of the texts of each label; {right:,} of {total:,} answers are right."
    description = f"Matrix of {size} labels. {caption}"
    if pairs:
        description += f" Confused most often: {pairs[0][0]} taken for {pairs[0][1]}, {100 * pairs[0][3]:.0f} percent."
    name = slug("confusion", one.task, one.split, one.measure, one.method)
    if size <= MOST_NUMBERS:
        table_columns = [Column("label", "True label"), *(Column(name, name, "count") for name in columns)]
        rows = [[name, *map(int, row)] for name, row in zip(one.labels, counts, strict=True)]
        table = Table(name, f"{title}: counts", table_columns, rows)
    else:
        table = _pair_table(name, title, _confused(one, None))
    return Plot(name, title, caption, description, table, draw)


def _confused(one: Confusion, most: int | None) -> list[tuple[str, str, int, float]]:
    """Labels that were taken for others, the most frequent first: label, what it was taken for, count, share."""
    columns = [*one.labels, _NO_ANSWER]
    totals = np.maximum(one.counts.sum(axis=1), 1)
    places = [(i, j) for i, j in zip(*np.nonzero(one.counts), strict=True) if i != j]
    places.sort(key=lambda place: (-one.counts[place] / totals[place[0]], place))
    return [
        (one.labels[i], columns[j], int(one.counts[i, j]), float(one.counts[i, j] / totals[i]))
        for i, j in places[:most]
    ]


def _pair_table(name: str, title: str, pairs) -> Table:
    columns = [
        Column("label", "True label"),
        Column("predicted", "Taken for"),
        Column("count", "Count", "count"),
        Column("share", "Of the label, %", "percent"),
    ]
    return Table(name, f"{title}: labels taken for others", columns, pairs)


def confusion_table(found: Sequence[Confusion]) -> Table:
    """
    All matrices as one long table: for every task and split (where there are several), method, measure and DPC the
    labels that are confused most often.
    """
    places = {"task": [one.task for one in found], "split": [one.split for one in found]}
    places = {name: values for name, values in places.items() if len(set(values)) > 1}
    columns = [Column(name, name.capitalize()) for name in places]
    columns += [
        Column("method", "Method"),
        Column("measure", "Measure"),
        Column("dpc", "DPC", "count"),
        Column("label", "True label"),
        Column("predicted", "Taken for"),
        Column("count", "Count", "count"),
        Column("share", "Of the label, %", "percent"),
    ]
    rows = [
        [*(values[i] for values in places.values()), one.method, measure_title(one.measure), one.dpc, *pair]
        for i, one in enumerate(found)
        for pair in _confused(one, _PAIRS)
    ]
    note = f"Labels taken for others, of each matrix at most the {_PAIRS} most frequent pairs by share of the label."
    return Table("confusions", "What is taken for what, all matrices", columns, rows, note, folded=True)
