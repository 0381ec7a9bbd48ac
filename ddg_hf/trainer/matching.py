# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The matching loss of a joint batch, label by label and over all processes (DDG, section 3; DiLM, section 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..losses.gradient_matching import (
    effective_sample_size,
    matching_loss,
    surrogate_coefficients,
    synthetic_weights,
)
from ..models.row_gradients import RowGradients
from .processes import Processes


class ZeroGradientError(ValueError):
    """The gradient of a label is zero, so that its cosine is undefined."""

    def __init__(self, label: int, reason: str):
        super().__init__(reason)
        self.label = label


@dataclass
class Match:
    """
    What the matching says about J synthetic rows, over which the loss is the mean of `1 - cosine` of the labels.

    Attributes:
        loss: scalar, detached.
        coefficients_J: dL/dnll of each row; zero for rows of other processes.
        cosines: cosine of each label.
        effective_sample_sizes: of the weights of each label, in rows.
    """

    loss: torch.Tensor
    coefficients_J: torch.Tensor
    cosines: dict[int, float]
    effective_sample_sizes: dict[int, float]


def match_gradients(
    labels_J: torch.Tensor,
    nll_J: torch.Tensor,
    mine: Sequence[int],
    synthetic: RowGradients | None,
    teacher_gradient: Callable[[int], torch.Tensor],
    temperature: float,
    processes: Processes,
) -> Match:
    """
    Matches the gradients of every label that occurs in the joint batch.

    The labels are streamed: one teacher gradient, one synthetic gradient and one direction are held at a time, so the
    memory does not grow with the number of labels.

    Args:
        labels_J, nll_J: label and generator loss of each row of the joint batch of all processes.
        mine: positions of this process's rows in it.
        synthetic ([`RowGradients`] or `None`): gradients of this process's rows, in the order of `mine`; `None` if it
            has none.
        teacher_gradient: label to the mean gradient of its real rows, `[P]`, the same on all processes.
        temperature: T of the weights.
        processes ([`Processes`]): who has the other rows.

    Raises:
        ZeroGradientError: the gradient of a label is zero.
    """
    mine_T = torch.tensor(mine, dtype=torch.long, device=labels_J.device)
    coefficients = torch.zeros_like(nll_J)
    labels = labels_J.unique().tolist()
    losses, cosines, sizes = [], {}, {}
    for label in labels:
        of_label = labels_J == label
        weights_J = torch.zeros_like(nll_J)
        weights_J[of_label] = synthetic_weights(nll_J[of_label], temperature)
        local = of_label[mine_T].nonzero().flatten()
        positions = mine_T[local]
        g_real = teacher_gradient(label)
        part = torch.zeros_like(g_real) if synthetic is None else synthetic.gradient(local, weights_J[positions])
        g_syn = processes.sum(part)
        try:
            loss, direction = matching_loss(g_real, g_syn)
        except ValueError as error:
            raise ZeroGradientError(label, str(error)) from error
        direction /= len(labels)
        if len(local):
            derivatives = synthetic.derivatives(local, direction)
            coefficients[positions] = surrogate_coefficients(
                weights_J[positions], derivatives, temperature, mean_derivative=g_syn @ direction
            ).to(coefficients.dtype)
        losses.append(loss)
        cosines[label] = 1 - loss.item()
        sizes[label] = effective_sample_size(weights_J[of_label]).item()
    return Match(torch.stack(losses).mean().detach(), coefficients, cosines, sizes)
