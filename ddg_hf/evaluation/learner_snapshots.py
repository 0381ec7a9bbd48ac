# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Gradients of rows at a learner that is trained on real data: a proxy of what distillation matches, for any sets.

Distillation weighs the rows of each batch, at many learners and teacher sets. Here rows weigh the same, at the states
of one learner, against one teacher set, in the parameters of the head alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..errors import UserError
from ..models.learner import Learner, wide
from ..models.row_gradients import RowGradients

Rows = Sequence[tuple[str, ...]]


@dataclass
class SnapshotArguments:
    """
    The learner at which gradients of rows are compared: from a fresh head on it is trained on real rows, and looked at
    now and then.

    Parameters:
        snapshots (`int`, *optional*, defaults to `3`): How often it is looked at; the first time before training.
        snapshot_steps (`int`, *optional*, defaults to `20`): Updates between two looks.
        snapshot_batch_size (`int`, *optional*, defaults to `64`): Real rows in one update.
        snapshot_learning_rate (`float`, *optional*, defaults to `1e-4`): Learning rate (AdamW).
    """

    snapshots: int = field(default=3, metadata={"help": "Learner states at which gradients are compared."})
    snapshot_steps: int = field(default=20, metadata={"help": "Learner updates between two of them."})
    snapshot_batch_size: int = field(default=64, metadata={"help": "Real rows in one learner update."})
    snapshot_learning_rate: float = field(default=1e-4, metadata={"help": "Learning rate of the learner."})

    def __post_init__(self):
        for name in ("snapshots", "snapshot_steps", "snapshot_batch_size", "snapshot_learning_rate"):
            if getattr(self, name) <= 0:
                raise UserError(f"--{name} must be positive, got {getattr(self, name)}")


def learner_snapshots(
    learner: Learner, rows: Rows, labels_N: Sequence[int], arguments: SnapshotArguments, *seed_parts: int | str
) -> Iterator[None]:
    """Moves `learner` along its training on N real rows; yields whenever it is to be looked at."""
    learner.reset(*seed_parts)
    optimizer = torch.optim.AdamW(learner.model.parameters(), lr=arguments.snapshot_learning_rate)
    encoded, labels = learner.encode(rows), torch.tensor(labels_N)
    for k in range(arguments.snapshots):
        if k:
            for step in range((k - 1) * arguments.snapshot_steps, k * arguments.snapshot_steps):
                learner.training_step(optimizer, encoded, labels, arguments.snapshot_batch_size, step, *seed_parts)
        yield


def gradient_cosines(
    learner: Learner,
    train: tuple[Rows, Sequence[int]],
    teacher: Sequence[np.ndarray],
    sets: Sequence[Sequence[tuple[tuple[str, ...], int]]],
    arguments: SnapshotArguments,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """
    Cosine of the mean gradient of each set's rows and that of real rows, by label, in the parameters of the head: a
    proxy of what distillation maximises, with equal weights, one learner and one teacher set.

    Args:
        learner: The classifier; its weights change.
        train: Training rows and their label ids.
        teacher: For each label, the positions of the real rows whose mean gradient is compared with.
        sets: S sets of pairs (texts, label id), none of them empty.
        arguments: The learner's training.
        seed: Seed of its head and batches.
        progress: Called with 1 after every snapshot.

    Returns:
        `np.ndarray` of shape `[S]`: means over snapshots and those labels that the set has rows of.
    """
    rows, labels = train
    index = [int(i) for members in teacher for i in members]
    real_labels = torch.tensor([y for y, members in enumerate(teacher) for _ in members])
    encoded_real = learner.encode([rows[i] for i in index])
    flat = [pair for members in sets for pair in members]
    encoded_sets, set_labels = learner.encode([texts for texts, _ in flat]), torch.tensor([y for _, y in flat])
    number = torch.tensor([s for s, members in enumerate(sets) for _ in members])
    totals_S, counts_S = np.zeros(len(sets)), np.zeros(len(sets))
    for _ in learner_snapshots(learner, rows, labels, arguments, seed, "gradient_cosine"):
        real = RowGradients(learner, encoded_real, range(len(index)), real_labels)
        synthetic = RowGradients(learner, encoded_sets, range(len(flat)), set_labels)
        for label in range(len(teacher)):
            target = _mean_gradient(real, (real_labels == label).nonzero().flatten())
            for s in range(len(sets)):
                mine = ((set_labels == label) & (number == s)).nonzero().flatten()
                if not len(mine):
                    continue
                counts_S[s] += 1
                totals_S[s] += torch.cosine_similarity(_mean_gradient(synthetic, mine), target, dim=0).item()
        if progress is not None:
            progress(1)
    return totals_S / counts_S


def _mean_gradient(gradients: RowGradients, rows: torch.Tensor) -> torch.Tensor:
    weights = torch.full((len(rows),), 1 / len(rows), device=gradients.labels_N.device)
    return gradients.gradient(rows.to(weights.device), weights)


@dataclass(frozen=True)
class GradientFactors:
    """
    Gradients of N rows in a linear head, as factors: that of row i is the outer product of `residuals_NK[i]`, the
    probabilities less the label, and `[features_NH[i]; 1]`, the input of the head and the bias; without the 1 if the
    head has no bias.
    """

    residuals_NK: np.ndarray
    features_NH: np.ndarray
    bias: bool = True


def gradient_factors(
    learner: Learner, rows: Rows, labels_N: Sequence[int], arguments: SnapshotArguments, seed: int
) -> list[GradientFactors]:
    """
    The gradients of all training rows at every snapshot.

    Raises:
        UserError: the head of the learner is not one linear layer.
    """
    head = learner.linear_head
    if head is None:
        raise UserError(
            "gradient_selection needs a learner whose head is one linear layer (BERT, MiniLM, GPT-2, ...); give "
            "another --learner"
        )
    encoded, labels, found = learner.encode(rows), torch.tensor(labels_N), []
    for _ in learner_snapshots(learner, rows, labels_N, arguments, seed, "gradient_selection"):
        with torch.no_grad():
            features_NH = learner.features(encoded, range(len(rows)))
            residuals_NK = wide(head(features_NH)).softmax(dim=-1).cpu()
        residuals_NK[torch.arange(len(rows)), labels] -= 1
        features_NH = features_NH.float().cpu().numpy()
        found.append(GradientFactors(residuals_NK.numpy(), features_NH, head.bias is not None))
    return found
