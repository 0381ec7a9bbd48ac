# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Sets of demonstrations, and the order in which a prompt shows them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ddg_hf.data.rows import rows_and_labels, set_fingerprint
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError, closest
from ddg_hf.evaluation.icl.prompts import Demonstration, Texts, round_robin

Embed = Callable[[list[Texts]], np.ndarray]
"""Maps N rows of texts to embeddings of shape [N, H]."""

ORDERS = ("interleaved", "sorted")


@dataclass(frozen=True)
class DemonstrationSet:
    """
    One set of demonstrations, in no particular order.

    Attributes:
        set_id: Number of the set: the sampling seed of a distilled set, or the number of the draw.
        rows: Pairs (texts, label id).
        ordered: Whether a prompt shows as many rows of each label, round by round ([`round_robin`]); otherwise it
            shows the rows whatever their labels.
    """

    set_id: int
    rows: tuple[Demonstration, ...]
    ordered: bool = True

    def in_order(self, rounds: int, num_labels: int, seed: int, order_by: str = "interleaved") -> list[Demonstration]:
        """
        Returns the demonstrations in the order of a prompt.

        Args:
            rounds: Of each label, the first so many rows are shown; of a set that is not `ordered`, the first
                `rounds` x `num_labels` rows, or all if there are fewer in the last round.
            num_labels: Number of classes.
            seed: Seed of the order.
            order_by: `interleaved`: round by round, or at random if the set is not `ordered`. `sorted`: all rows of
                label 0, then all of label 1 and so on; the rows of a label are in the order in which they would be
                interleaved. The rows are the same ones.

        Raises:
            UserError: there are fewer rows than `rounds` need, or `order_by` is unknown.
        """
        if order_by not in ORDERS:
            raise UserError(f"unknown order '{order_by}'.{closest(order_by, ORDERS)} There are {', '.join(ORDERS)}.")
        if not self.rows:
            return []
        if self.ordered:
            order = round_robin([label for _, label in self.rows], rounds, seed, num_labels)
        else:
            most = -(-len(self.rows) // num_labels)
            if rounds > most:
                raise UserError(
                    f"{rounds} rounds of {num_labels} labels need more demonstrations than the {len(self.rows)} of "
                    f"the set; pass --rounds {most} or less"
                )
            shown = min(rounds * num_labels, len(self.rows))
            order = np.random.default_rng(seed).permutation(shown).tolist()
        if order_by == "sorted":
            order.sort(key=lambda i: self.rows[i][1])
        return [self.rows[i] for i in order]


def to_demonstrations(dataset: Dataset, spec: TaskSpec) -> list[Demonstration]:
    """Returns the rows of a loaded split (text columns and `label`) as pairs (texts, label id)."""
    return list(zip(*rows_and_labels(dataset, spec), strict=True))


def fingerprints_of(sets: dict[int, list[DemonstrationSet]]) -> dict[str, dict[str, str]]:
    """Returns the [`~ddg_hf.data.rows.set_fingerprint`] of every set, by configuration (`dpc_5`) and set number."""
    return {
        f"dpc_{dpc}": {str(member.set_id): set_fingerprint(member.rows) for member in members}
        for dpc, members in sets.items()
    }
