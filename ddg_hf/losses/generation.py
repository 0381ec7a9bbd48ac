# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Language-model losses of the generator, one value per sample."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

# Logits held at once: 2**26 float32 values are 256 MiB, whatever the vocabulary.
MAX_LOGITS = 2**26


def chunked_token_nll(
    hidden_NH: torch.Tensor,
    targets_N: torch.Tensor,
    logits_fn: Callable[[torch.Tensor], torch.Tensor],
    vocab_size: int,
    max_logits: int = MAX_LOGITS,
) -> torch.Tensor:
    """
    Negative log-likelihood of each target token, never holding more than `max_logits` logits.

    Each chunk's logits are recomputed in the backward pass (activation checkpointing), so the memory does not grow
    with the number of tokens. A batch that fits in one chunk skips the recomputation.

    Args:
        hidden_NH (`torch.Tensor`): hidden states at the N positions that predict a target, hidden size H.
        targets_N (`torch.Tensor`): token ids, `int64`.
        logits_fn (`Callable`): maps `[n, H]` hidden states to `[n, vocab_size]` logits (the model's head with its
            bias, scale and soft-capping).
        vocab_size (`int`): number of logits per token.
        max_logits (`int`): upper bound of the number of logits held at once.

    Returns:
        `torch.Tensor` of shape `[N]`, nats, float32 (float64 for a float64 model).
    """

    def nll(hidden, targets):
        logits = logits_fn(hidden)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return F.cross_entropy(logits, targets, reduction="none")

    chunk = max(1, max_logits // vocab_size)
    if hidden_NH.shape[0] <= chunk:
        return nll(hidden_NH, targets_N)
    pieces = zip(hidden_NH.split(chunk), targets_N.split(chunk), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([nll(hidden, targets) for hidden, targets in pieces])
    return torch.cat([checkpoint(nll, hidden, targets, use_reentrant=False) for hidden, targets in pieces])


def per_sample_sum(values_N: torch.Tensor, sample_index_N: torch.Tensor, num_samples: int) -> torch.Tensor:
    """Sums token values into their samples: `[N]` and the sample of each token to `[num_samples]`."""
    return values_N.new_zeros(num_samples).index_add(0, sample_index_N, values_N)


def label_discrimination_loss(log_likelihood_BM: torch.Tensor) -> torch.Tensor:
    """
    Makes a text more likely under its own label than under others: -[log p(x|y) - log sum_y' p(x|y')].

    Args:
        log_likelihood_BM (`torch.Tensor`): log p(x|y') of B texts under M labels in nats; column 0 is the text's own
            label, the others are some or all of the other labels.

    Returns:
        `torch.Tensor` of shape `[B]`: the cross-entropy of the own label, nats.
    """
    return -log_likelihood_BM.log_softmax(dim=-1)[:, 0]
