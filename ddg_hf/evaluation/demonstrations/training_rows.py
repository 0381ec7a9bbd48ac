# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations that are rows of the training split."""

from collections.abc import Sequence

import numpy as np

from ddg_hf.data.samplers import stable_seed
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError, closest
from ddg_hf.evaluation.arguments import NEEDS_ENCODER, REAL_ROWS
from ddg_hf.evaluation.icl.prompts import Demonstration
from ddg_hf.selection import select_herding, select_k_centers, select_random

from .sets import DemonstrationSet, Embed

KINDS = ("zero_shot", *REAL_ROWS)


def draw_sets(
    kind: str,
    rows: Sequence[Demonstration],
    spec: TaskSpec,
    per_class: int,
    num_sets: int,
    seed: int,
    embed: Embed | None = None,
) -> list[DemonstrationSet]:
    """
    Draws demonstration sets from labelled rows. A set has `per_class` x number of labels rows, without repetition.

    Args:
        kind: How the rows are chosen.

            - `balanced`: `per_class` rows of each class, uniformly at random; shown round by round.
            - `random`: rows uniformly at random whatever their class, so that class counts vary as they do in the
              data and a class may be missing; shown in random order.
            - `k_centers`: of each class the rows nearest to the centroids of `per_class` k-means clusters of its
              embeddings; sets differ by the start of k-means; shown round by round.
            - `herding`: of each class rows whose mean embedding is nearest to that of the class
              ([`~ddg_hf.selection.select_herding`]); a single set, since nothing is drawn; shown round by round.
            - `zero_shot`: a single empty set.
        rows: Pairs (texts, label id), usually the training split.
        spec: The task.
        per_class: Rows per class.
        num_sets: Number of sets of the kinds that are drawn.
        seed: Set s is a function of (seed, s) alone.
        embed: Needed by `k_centers` and `herding`: maps N rows of texts to embeddings of shape [N, H].

    Raises:
        UserError: unknown kind, `per_class` or `num_sets` below 1, or a class with fewer than `per_class` rows.
    """
    if kind not in KINDS:
        raise UserError(f"unknown demonstrations '{kind}'.{closest(kind, KINDS)} There are {', '.join(KINDS)}.")
    if kind == "zero_shot":
        return [DemonstrationSet(0, ())]
    if per_class < 1 or num_sets < 1:
        raise UserError(f"the number of rows per class ({per_class}) and of sets ({num_sets}) must be at least 1")
    if kind == "random":
        size = per_class * spec.num_labels
        if len(rows) < size:
            raise UserError(f"{size} demonstrations are needed, but there are {len(rows)} rows")
        draws = [select_random(len(rows), size, stable_seed("random", seed, s)) for s in range(num_sets)]
        return [DemonstrationSet(s, tuple(rows[i] for i in draw), ordered=False) for s, draw in enumerate(draws)]
    classes = _rows_by_class(rows, spec, per_class)
    embeddings_NH = _embeddings(kind, embed, rows) if kind in NEEDS_ENCODER else None
    sets = []
    for s in range(1 if kind == "herding" else num_sets):
        chosen: list[int] = []
        for label, members in enumerate(classes):
            draw_seed = stable_seed(kind, seed, s, label)
            if kind == "balanced":
                picks = select_random(len(members), per_class, draw_seed)
            elif kind == "herding":
                picks = select_herding(embeddings_NH[members], per_class)
            else:
                picks = select_k_centers(embeddings_NH[members], per_class, draw_seed % 2**32)
            chosen += members[picks].tolist()
        sets.append(DemonstrationSet(s, tuple(rows[i] for i in chosen)))
    return sets


def _rows_by_class(rows: Sequence[Demonstration], spec: TaskSpec, per_class: int) -> list[np.ndarray]:
    """Returns the indices of the rows of each class."""
    labels_N = np.array([label for _, label in rows], dtype=np.int64)
    classes = [np.flatnonzero(labels_N == label) for label in range(spec.num_labels)]
    for name, members in zip(spec.label_names, classes, strict=True):
        if len(members) < per_class:
            raise UserError(
                f"class '{name}' has {len(members)} rows, but {per_class} are needed; lower --dpc or --rounds"
            )
    return classes


def _embeddings(kind: str, embed: Embed | None, rows: Sequence[Demonstration]) -> np.ndarray:
    if embed is None:
        raise UserError(f"{kind} needs an encoder: pass --learner")
    return np.asarray(embed([texts for texts, _ in rows]))
