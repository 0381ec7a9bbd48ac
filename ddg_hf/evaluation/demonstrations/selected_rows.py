# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Sets of training rows, chosen by any of the selections."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ddg_hf.data.rows import DistilledRow
from ddg_hf.data.samplers import stable_seed
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.prompts import Demonstration
from ddg_hf.evaluation.learner_snapshots import GradientFactors
from ddg_hf.selection import (
    select_by_generator_loss,
    select_by_gradient,
    select_dpp,
    select_herding,
    select_k_centers,
    select_random,
    select_vote_k,
)
from ddg_hf.selection.gradient_matching import mean_gradient
from ddg_hf.selection.random import random_half

KINDS = ("balanced", "k_centers", "herding", "generator_loss", "vote_k", "dpp", "gradient_selection")
NEED_EMBEDDINGS = ("k_centers", "herding", "vote_k", "dpp")


@dataclass
class SelectionArguments:
    """
    Which training rows make a set.

    Parameters:
        demonstrations (`str`, *optional*, defaults to `"k_centers"`):
            How rows of a class are chosen: `balanced` (at random), `k_centers` (nearest to the centroids of k-means
            clusters of their embeddings), `herding` (mean embedding nearest to that of the class), `generator_loss`
            (most likely under `--generator`), `vote_k` (near to many others, far from those chosen), `dpp` (drawn by a
            determinantal point process), `gradient_selection` (gradients together nearest to that of the class).
        dpc (`list[int]`, *optional*, defaults to `[5]`): Rows per class; each value becomes a configuration.
        num_sets (`int`, *optional*, defaults to `5`): Number of sets.
        candidates_per_class (`int`, *optional*):
            Rows of each class to choose from, drawn anew for each set: at most half of the class, so that sets differ,
            and no fewer than `dpc`. By default `vote_k` (of large classes) and `gradient_selection` draw half of
            them, the others choose from all. `herding` and `generator_loss` draw nothing: without this, all their
            sets are the same, and one is made.
    """

    demonstrations: str = field(
        default="k_centers", metadata={"help": "How rows of a class are chosen.", "choices": list(KINDS)}
    )
    dpc: list[int] = field(default_factory=lambda: [5], metadata={"help": "Rows per class, one or several values."})
    num_sets: int = field(default=5, metadata={"help": "Number of sets."})
    candidates_per_class: int | None = field(
        default=None,
        metadata={"help": "Rows of each class to choose from, drawn anew for each set, half at most (default: all)."},
    )

    def __post_init__(self):
        if not self.dpc or min(self.dpc) < 1:
            raise UserError(f"--dpc must be one or more positive numbers, got {self.dpc}")
        if self.num_sets < 1:
            raise UserError(f"--num_sets must be at least 1, got {self.num_sets}")
        if self.candidates_per_class is not None and self.candidates_per_class < max(self.dpc):
            raise UserError(
                f"--candidates_per_class {self.candidates_per_class} is less than --dpc {max(self.dpc)}; raise it"
            )

    @property
    def draws(self) -> int:
        """Number of sets that differ."""
        fixed = self.demonstrations in ("herding", "generator_loss") and self.candidates_per_class is None
        return 1 if fixed else self.num_sets


@dataclass(frozen=True)
class RowFacts:
    """What rows are chosen by: embeddings `[N, H]`, generator losses `[N]`, gradients at each learner snapshot."""

    embeddings_NH: np.ndarray | None = None
    losses_N: np.ndarray | None = None
    gradients: Sequence[GradientFactors] | None = None


def select_real_sets(
    rows: Sequence[Demonstration], spec: TaskSpec, arguments: SelectionArguments, facts: RowFacts, seed: int
) -> dict[int, list[DistilledRow]]:
    """
    Returns sets of training rows for every value of `dpc`. Set s is a function of (seed, s); for `balanced` and
    `k_centers` without `candidates_per_class` it is the set that
    [`~ddg_hf.evaluation.demonstrations.draw_sets`] draws.

    Args:
        rows: N training rows, pairs (texts, label id).
        spec: The task.
        arguments: What is chosen.
        facts: What the selection needs.
        seed: Seed of the draws.

    Raises:
        UserError: a class has fewer rows than `dpc`.
    """
    labels_N = np.array([label for _, label in rows], dtype=np.int64)
    result: dict[int, list[DistilledRow]] = {n: [] for n in arguments.dpc}
    for label, name in enumerate(spec.label_names):
        members = np.flatnonzero(labels_N == label)
        if len(members) < max(arguments.dpc):
            raise UserError(
                f"class '{name}' has {len(members)} training rows, fewer than --dpc {max(arguments.dpc)}; lower --dpc"
            )
        for number in range(arguments.draws):
            pool_seed = stable_seed("pool", seed, number, label)
            draw_seed = stable_seed(arguments.demonstrations, seed, number, label)
            for n, chosen in result.items():
                pool = _candidates(members, n, arguments.candidates_per_class, pool_seed)
                for i in pool[_choose(arguments.demonstrations, members, pool, n, facts, draw_seed)]:
                    loss = float("nan") if facts.losses_N is None else float(facts.losses_N[i])
                    chosen.append(DistilledRow(rows[i][0], label, number, loss))
    return {n: sorted(chosen, key=lambda row: row.set) for n, chosen in result.items()}


def _candidates(members: np.ndarray, k: int, size: int | None, seed: int) -> np.ndarray:
    """Those of the rows `members` of a class of which `k` are chosen."""
    return members if size is None else members[random_half(len(members), k, seed, max_rows=size)]


def _choose(kind: str, members: np.ndarray, pool: np.ndarray, k: int, facts: RowFacts, seed: int) -> np.ndarray:
    """Positions in `pool` of the `k` rows that `kind` chooses; `members` are all rows of the class."""
    # Where the pool is drawn already, the selections do not draw from it again.
    own_seed = seed if len(pool) == len(members) else None
    if kind == "balanced":
        return select_random(len(pool), k, seed)
    if kind == "generator_loss":
        return select_by_generator_loss(facts.losses_N[pool], k)
    if kind == "gradient_selection":
        residuals = [part.residuals_NK for part in facts.gradients]
        features = [part.features_NH for part in facts.gradients]
        bias = facts.gradients[0].bias
        targets = [mean_gradient(r[members], f[members], bias) for r, f in zip(residuals, features, strict=True)]
        in_pool = [r[pool] for r in residuals], [f[pool] for f in features]
        return select_by_gradient(*in_pool, k, targets, bias, own_seed)
    embeddings = facts.embeddings_NH[pool]
    if kind == "herding":
        return select_herding(embeddings, k)
    if kind == "vote_k":
        return select_vote_k(embeddings, k, own_seed)
    if kind == "dpp":
        return select_dpp(embeddings, k, seed)
    return select_k_centers(embeddings, k, seed % 2**32)
