# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Gradient matching as a weighted language-model loss (DDG, section 3; DiLM, section 3.2). Pure functions.

For one label, with generator losses nll_i of its synthetic rows:

    w      = softmax(-nll / T)                         weights of the synthetic rows
    g_syn  = sum_i w_i g_i                             g_i: gradient of the learner's loss on row i
    L      = 1 - cos(g_real, g_syn)

Only w depends on the generator and g_syn is linear in w, so with u = dL/dg_syn and a_i = <g_i, u>

    c_i = dL/dnll_i = -(w_i / T) (a_i - sum_j w_j a_j)

and `sum_i c_i nll_i`, with c detached, has the gradient of L in the generator's parameters: no second-order autograd,
and no g_i is ever formed. For a linear head, g_syn and a have the closed forms below; for everything else see
[`~ddg_hf.models.row_gradients.RowGradients`].
"""

import torch
import torch.nn.functional as F
from torch import nn


def synthetic_weights(nll_B: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """
    Weights of the synthetic rows of one label: softmax(-nll / T).

    Args:
        nll_B (`torch.Tensor`): generator loss of each of B rows, nats per token.
        temperature (`float`): T > 0; larger is closer to uniform.

    Returns:
        `torch.Tensor` of shape `[B]`, detached, summing to 1.
    """
    return (-nll_B.detach() / temperature).softmax(dim=0)


def effective_sample_size(weights_B: torch.Tensor) -> torch.Tensor:
    """Number of equally weighted rows with the same variance: 1 / sum_i w_i^2, between 1 and B."""
    return 1 / weights_B.square().sum()


def head_gradient(
    head: nn.Linear, features_BH: torch.Tensor, labels_B: torch.Tensor, weights_B: torch.Tensor
) -> torch.Tensor:
    """
    Gradient of the weighted loss in the parameters of a linear head: sum_i w_i grad CE(head(h_i), y_i), which is
    sum_i w_i (p_i - e_y) [h_i; 1]^T.

    Args:
        head (`nn.Linear`): maps features to logits `[B, K]`; with or without a bias.
        features_BH (`torch.Tensor`): h, the inputs of the head.
        labels_B (`torch.Tensor`): label ids.
        weights_B (`torch.Tensor`): weight of each row; they need not sum to 1.

    Returns:
        `torch.Tensor` of shape `[P]`: the gradient, flattened in the order of `head.named_parameters()`.
    """
    errors_BK = _errors(head, features_BH, labels_B) * weights_B.unsqueeze(1)
    weight = errors_BK.T @ features_BH.detach()
    bias = [] if head.bias is None else [errors_BK.sum(dim=0)]
    return torch.cat([weight.flatten(), *bias])


def directional_derivatives(
    head: nn.Linear, features_BH: torch.Tensor, labels_B: torch.Tensor, direction_P: torch.Tensor
) -> torch.Tensor:
    """
    a_i = <g_i, u>: derivative of each row's loss along a direction in the parameters of a linear head, which is
    (p_i - e_y)^T U [h_i; 1] with u reshaped.

    Args:
        head, features_BH, labels_B: as in [`head_gradient`].
        direction_P (`torch.Tensor`): u, `[P]`, flattened in the order of `head.named_parameters()`.

    Returns:
        `torch.Tensor` of shape `[B]`.
    """
    size = head.weight.numel()
    along_BK = features_BH.detach() @ direction_P[:size].view_as(head.weight).T
    if head.bias is not None:
        along_BK = along_BK + direction_P[size:]
    return (_errors(head, features_BH, labels_B) * along_BK).sum(dim=1)


def matching_loss(g_real_P: torch.Tensor, g_syn_P: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    L = 1 - cos(g_real, g_syn) of one label, and its derivative in g_syn.

    Args:
        g_real_P (`torch.Tensor`): teacher gradient.
        g_syn_P (`torch.Tensor`): gradient of the synthetic rows at the student.

    Returns:
        `(loss, u_P)`: scalar and u = dL/dg_syn = (cos * s / |s| - r / |r|) / |s|.

    Raises:
        ValueError: a gradient is zero, so that the cosine is undefined.
    """
    norm_real, norm_syn = g_real_P.norm(), g_syn_P.norm()
    if norm_real == 0 or norm_syn == 0:
        which = "teacher" if norm_real == 0 else "synthetic"
        raise ValueError(f"the {which} gradient is zero, so the gradient cosine is undefined")
    real, synthetic = g_real_P / norm_real, g_syn_P / norm_syn
    cosine = (real * synthetic).sum()
    return 1 - cosine, (cosine * synthetic - real) / norm_syn


def surrogate_coefficients(
    weights_B: torch.Tensor,
    derivatives_B: torch.Tensor,
    temperature: float = 1.0,
    mean_derivative: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    c_i = dL/dnll_i = -(w_i / T) (a_i - sum_j w_j a_j).

    They sum to zero; and as cos does not depend on the length of g_syn, sum_i w_i a_i = <g_syn, u> is zero too.

    Args:
        weights_B (`torch.Tensor`): w, of one label.
        derivatives_B (`torch.Tensor`): a, of the same rows.
        temperature (`float`): T.
        mean_derivative (`torch.Tensor`, *optional*): sum_j w_j a_j over the whole label batch, where the rows given
            here are only one process's share.

    Returns:
        `torch.Tensor` of shape `[B]`.
    """
    if mean_derivative is None:
        mean_derivative = (weights_B * derivatives_B).sum()
    return -(weights_B / temperature) * (derivatives_B - mean_derivative)


def with_language_model_loss(
    loss: torch.Tensor, coefficients_S: torch.Tensor, nll_R: torch.Tensor, weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    (1 - lambda) L + lambda mean_r nll_r, and its derivative in every row's loss (`lm_lambda` of DiLM).

    Args:
        loss: the matching loss L, scalar.
        coefficients_S (`torch.Tensor`): dL/dnll of S synthetic rows.
        nll_R (`torch.Tensor`): generator loss of R real rows, nats per token.
        weight (`float`): lambda, from 0 to 1.

    Returns:
        `(loss, coefficients)`: scalar and `[S + R]`, the synthetic rows first.
    """
    share_R = torch.full_like(nll_R, weight / len(nll_R))
    return (1 - weight) * loss + weight * nll_R.mean(), torch.cat([(1 - weight) * coefficients_S, share_R])


def _errors(head: nn.Linear, features_BH: torch.Tensor, labels_B: torch.Tensor) -> torch.Tensor:
    """p_i - e_y, `[B, K]`: gradient of the cross-entropy in the logits."""
    with torch.no_grad():
        probabilities = head(features_BH).softmax(dim=-1)
    return probabilities - F.one_hot(labels_B, probabilities.shape[1])
