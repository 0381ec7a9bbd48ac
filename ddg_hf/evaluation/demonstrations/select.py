# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The sets of an evaluation, from whatever source its arguments name."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError
from ddg_hf.evaluation.arguments import JSON_SUFFIXES, RETRIEVED
from ddg_hf.evaluation.icl.prompts import Demonstration, Texts, flatten

from .distilled import available_dpc, load_distilled
from .json_file import load_json_sets
from .retrieved import RetrievedDemonstrations, make_nearest
from .sets import DemonstrationSet, Embed
from .training_rows import draw_sets

logger = logging.getLogger(__name__)

DEFAULT_PER_CLASS = 5
DEFAULT_DRAWS = 5


def select_sets(
    spec: TaskSpec,
    train: Sequence[Demonstration],
    distilled: str | None,
    kind: str | None,
    dpc: Sequence[int] | None,
    num_sets: int | None,
    seed: int,
    embed: Embed | None = None,
) -> dict[int, list[DemonstrationSet]] | dict[int, list[RetrievedDemonstrations]]:
    """
    Returns the sets that an evaluation is about, by their rows per class (0 for zero-shot).

    Args:
        spec: The task.
        train: Labelled rows of the training split.
        distilled: Directory or Hub id of distilled sets ([`load_distilled`]), or a file of JSON lines
            ([`load_json_sets`]); otherwise `kind` of real rows.
        kind: How real rows are chosen: a set of them as in [`draw_sets`], or for each query (`bm25`, `topk`) as in
            [`RetrievedDemonstrations`].
        dpc: Rows per class; by default all that `distilled` offers, or 5.
        num_sets: Number of sets; by default all of `distilled`, or 5 draws. Kinds in which nothing is drawn
            (`zero_shot`, `herding`, `bm25`, `topk`) have one.
        seed: Seed of the draws.
        embed: Embeds rows, for `k_centers`, `herding` and `topk`. The training rows are embedded once, whatever the
            number of `dpc`.

    Raises:
        UserError: there are fewer distilled sets than `num_sets`, and as [`load_distilled`], [`load_json_sets`],
            [`draw_sets`] and [`RetrievedDemonstrations`] do.
    """
    if distilled is not None:
        sets = _ready_sets(spec, distilled, dpc, num_sets)
        _warn_of_empty_texts(_rows_of(sets), f"demonstrations of '{distilled}'")
        return sets
    if num_sets is not None and num_sets > 1 and kind in (*RETRIEVED, "herding", "zero_shot"):
        logger.warning("Nothing is drawn at random in '%s': there is one set, not %d.", kind, num_sets)
    if kind == "zero_shot":
        return {0: draw_sets(kind, [], spec, 0, 1, seed)}
    sizes = dpc or [DEFAULT_PER_CLASS]
    if kind in RETRIEVED:
        nearest = make_nearest(kind, train, embed)
        _warn_of_empty_texts(train, "rows to retrieve from")
        return {n: [RetrievedDemonstrations(train, n, spec.num_labels, nearest)] for n in sizes}
    embed = embed and _once(embed)
    sets = {n: draw_sets(kind, train, spec, n, num_sets or DEFAULT_DRAWS, seed, embed) for n in sizes}
    _warn_of_empty_texts(_rows_of(sets), f"'{kind}' demonstrations")
    return sets


def _ready_sets(
    spec: TaskSpec, source: str, dpc: Sequence[int] | None, num_sets: int | None
) -> dict[int, list[DemonstrationSet]]:
    """Loads the sets of a file, a directory or a Hub id: of each number of rows per class the first `num_sets`."""
    path = Path(source).expanduser()
    if path.is_file() or (path.suffix.lower() in JSON_SUFFIXES and not path.is_dir()):
        sets = load_json_sets(source, spec, dpc)
    else:
        sets = {n: load_distilled(source, f"dpc_{n}", spec) for n in dpc or available_dpc(source)}
    for n, members in sets.items():
        if num_sets is not None and num_sets > len(members):
            raise UserError(f"--num_sets is {num_sets}, but dpc_{n} has {len(members)} sets")
    return {n: members[:num_sets] for n, members in sets.items()}


def _rows_of(sets: dict[int, list[DemonstrationSet]]) -> list[Demonstration]:
    return [row for members in sets.values() for member in members for row in member.rows]


def _warn_of_empty_texts(rows: Sequence[Demonstration], what: str) -> None:
    """An empty text is allowed, but hardly ever meant."""
    count = sum(any(not flatten(text) for text in texts) for texts, _ in rows)
    if count:
        logger.warning("%d of %d %s have an empty text.", count, len(rows), what)


def _once(embed: Embed) -> Embed:
    """The training rows are the same for every number of rows per class: they are embedded once."""
    results: list[np.ndarray] = []

    def embed_once(rows: list[Texts]) -> np.ndarray:
        if not results:
            results.append(embed(rows))
        return results[0]

    return embed_once
