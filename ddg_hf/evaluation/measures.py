# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
What sets are like: gradient match, labels, variety, length, copies.

The gradient match is a proxy of what distillation maximises, not the same number: see
[`~ddg_hf.evaluation.learner_snapshots`].
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..data.tasks import TaskSpec
from ..errors import UserError
from ..models.learner import Learner
from ..quality.copies import find_copies
from ..quality.near_copies import find_near_copies
from ..quality.variety import distinct, self_bleu
from ..quality.words import words
from .demonstrations import DemonstrationSet
from .label_control import LabelProbe
from .learner_snapshots import SnapshotArguments, gradient_cosines


def measure_sets(
    sets: Mapping[int, Sequence[DemonstrationSet]],
    train: tuple[Sequence[tuple[str, ...]], Sequence[int]],
    spec: TaskSpec,
    learner: Learner,
    teacher: Sequence[np.ndarray],
    probe: LabelProbe,
    tokenizer,
    snapshots: SnapshotArguments,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """
    Measures sets.

    Args:
        sets: Sets by their rows per class.
        train: Training rows and label ids.
        spec: The task.
        learner: Classifier at which gradients are taken; its weights change.
        teacher: For each label, positions of the real rows whose gradient is compared with.
        probe: Classifier fitted to training rows.
        tokenizer: Of the language model, for the lengths.
        snapshots: The learner's training.
        seed: Seed of it.
        progress: See [`~ddg_hf.evaluation.learner_snapshots.gradient_cosines`].

    Returns:
        For each number of rows per class: `dpc`; lists with a value for each set, `sets` (their numbers),
        `gradient_cosine` (over the labels that a set has), `label_consistency`, `distinct_2`, `self_bleu` (of the rows
        of the whole set) and `tokens_per_demonstration`; and over all sets `rows`, and the shares of rows that are
        `copies` of a training row and `near_copies` (not counting copies).

    Raises:
        UserError: a set has no rows.
    """
    for dpc, members in sets.items():
        for member in members:
            if not member.rows:
                raise UserError(f"set {member.set_id} of dpc_{dpc} has no rows, nothing to measure; remove it")
    every = [member.rows for members in sets.values() for member in members]
    cosines = iter(gradient_cosines(learner, train, teacher, every, snapshots, seed, progress).tolist())
    found = []
    for dpc, members in sets.items():
        texts = [row for member in members for row, _ in member.rows]
        real = {"train": train[0]}
        copies = find_copies(texts, real)
        whole = {finding.row for finding in copies if finding.details["kind"] != "column"}
        near = {finding.row for finding in find_near_copies(texts, real, copies)} - whole
        entry: dict[str, Any] = {"dpc": dpc, "sets": [member.set_id for member in members], "rows": len(texts)}
        entry["gradient_cosine"] = [round(next(cosines), 6) for _ in members]
        for member in members:
            rows, labels = zip(*member.rows, strict=True)
            tokens = [words(" ".join(row)) for row in rows]
            values = {
                "label_consistency": probe.accuracy(rows, labels),
                "distinct_2": distinct(tokens, 2),
                "self_bleu": self_bleu(tokens),
                "tokens_per_demonstration": np.mean([_num_tokens(tokenizer, row) for row in rows]),
            }
            for name, value in values.items():
                entry.setdefault(name, []).append(round(float(value), 6))
        entry["copies"], entry["near_copies"] = len(whole) / len(texts), len(near) / len(texts)
        found.append(entry)
    return found


def _num_tokens(tokenizer, row: tuple[str, ...]) -> int:
    return sum(len(tokenizer(text, add_special_tokens=False).input_ids) for text in row)
