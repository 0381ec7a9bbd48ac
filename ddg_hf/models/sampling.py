# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Nucleus sampling of many texts that share one prefix."""

import math
from collections.abc import Sequence, Set

import torch
from transformers import DynamicCache

from ..errors import UserError

# Draws per row before the nucleus is found by sorting. A draw fails with a probability of at most 1 - top_p.
MAX_DRAWS = 8
# Finished rows leave the batch once they are this part of it. Moving the others copies the cache: next to nothing for
# short texts, but not for long ones.
COMPACT_AT = 1 / 16


@torch.no_grad()
def sample_rows(
    model,
    prefix_ids: Sequence[int],
    num_rows: int,
    max_new_tokens: int,
    eos_ids: Sequence[int],
    banned_ids: Sequence[int],
    top_p: float,
    temperature: float,
    generator: torch.Generator,
) -> list[list[int]]:
    """
    Samples continuations of one prefix, dropping rows from the batch as they end.

    The same distribution as `model.generate(do_sample=True, top_k=0, suppress_tokens=banned_ids, ...)`, with other
    random numbers. All rows have the same length at every step, so there is no padding to mask.

    Args:
        model (`PreTrainedModel` or `PeftModel`): causal language model in evaluation mode.
        prefix_ids (`Sequence[int]`): the prefix, read once for all rows.
        num_rows (`int`): continuations to sample.
        max_new_tokens (`int`): where a row is cut that has not ended.
        eos_ids (`Sequence[int]`): tokens of which any ends a row; at least one.
        banned_ids (`Sequence[int]`): tokens that are never drawn.
        top_p, temperature (`float`): see [`sample_top_p`].
        generator (`torch.Generator`): on the model's device; the only source of randomness.

    Returns:
        `list[list[int]]`: `num_rows` continuations, each ending in its first of `eos_ids` unless it was cut.

    Raises:
        UserError: the logits are not finite, or the model has no key-value cache.
    """
    device = model.device
    banned = torch.tensor(banned_ids, dtype=torch.long, device=device)
    ends = torch.tensor(eos_ids, dtype=torch.long, device=device)
    prefix = torch.tensor([prefix_ids], device=device)
    # All ones: without a mask, a pad token among the input makes transformers warn.
    mask = torch.ones((num_rows, len(prefix_ids) + max_new_tokens), dtype=torch.long, device=device)
    cache = DynamicCache(config=model.config)

    def next_logits(ids_BL: torch.Tensor, length: int) -> torch.Tensor:
        seen = mask[: len(ids_BL), :length]
        output = model(input_ids=ids_BL, attention_mask=seen, past_key_values=cache, use_cache=True)
        if getattr(output, "past_key_values", None) is not cache:
            raise UserError(
                f"{model.config.model_type} models keep no key-value cache, so they cannot be sampled from as "
                "generators; use a GPT-2-, Llama-, Qwen-, Gemma-, Mistral- or Granite-type model"
            )
        return output.logits[:, -1].index_fill(1, banned, -torch.inf)

    logits = next_logits(prefix, len(prefix_ids)).expand(num_rows, -1)
    # Not `batch_repeat_interleave` and `batch_select_indices`: layers with a recurrent state have only this.
    cache.reorder_cache(torch.zeros(num_rows, dtype=torch.long, device=device))
    tokens = torch.full((num_rows, max_new_tokens), eos_ids[0], device=device)
    rows = torch.arange(num_rows, device=device)  # where each row of the batch belongs
    ended = torch.zeros(num_rows, dtype=torch.bool, device=device)
    for step in range(max_new_tokens):
        ids = sample_top_p(logits, top_p, temperature, generator)
        tokens[rows, step] = ids
        ended |= torch.isin(ids, ends)
        num_ended = int(ended.sum())
        if num_ended == len(rows) or step == max_new_tokens - 1:
            break
        if num_ended >= COMPACT_AT * len(rows):
            kept = (~ended).nonzero().squeeze(1)
            cache.reorder_cache(kept)
            rows, ids, ended = rows[kept], ids[kept], ended[kept]
        logits = next_logits(ids[:, None], len(prefix_ids) + step + 1)
    # A row that ended goes on until it leaves the batch.
    ends = frozenset(eos_ids)  # there may be thousands, as of tokens with a line break
    return [up_to_end(row, ends) for row in tokens.tolist()]


def up_to_end(row: list[int], eos_ids: Set[int]) -> list[int]:
    """A row up to its first end, that included; the whole row if it has none."""
    end = next((i for i, token in enumerate(row) if token in eos_ids), len(row))
    return row[: end + 1]


@torch.no_grad()
def sample_top_p(
    logits_BV: torch.Tensor, top_p: float, temperature: float, generator: torch.Generator
) -> torch.Tensor:
    """
    Draws one token per row by nucleus sampling (Holtzman et al., "The Curious Case of Neural Text Degeneration",
    section 3.1), without sorting the vocabulary.

    The nucleus is the one of transformers' `TopPLogitsWarper`: a token belongs to it if the tokens before it, in the
    order of descending logits (among equal ones, the greatest id first), have less than `top_p` of the probability.
    A draw from the whole softmax that falls outside is thrown away; what is kept has the renormalised distribution of
    the nucleus. Rows that still have no token after `MAX_DRAWS` draws (a small `top_p`) are sorted.

    Args:
        logits_BV (`torch.Tensor`): logits of any floating type, -inf for tokens that must not be drawn; not changed.
            Probabilities are computed in float32.
        top_p (`float`): in (0, 1]; 1 is the whole softmax.
        temperature (`float`): positive; divides the logits before the nucleus is taken.
        generator (`torch.Generator`): on the device of the logits.

    Returns:
        `torch.Tensor`: token ids `[B]`, `int64`.

    Raises:
        UserError: a row has a NaN, or no finite greatest logit.
    """
    scores = logits_BV.float()
    if temperature != 1.0:
        scores = scores / temperature
    weights = scores.softmax(-1)
    sums = _block_sums(weights)
    if not torch.isfinite(sums).all():
        raise UserError(
            "the model's logits are not finite, so nothing can be sampled: if it was trained, that has diverged "
            "(lower --learning_rate, or use an earlier checkpoint); otherwise load it with --dtype float32"
        )
    if top_p >= 1:
        return _draw(weights, sums, generator)
    ids = torch.empty(len(scores), dtype=torch.long, device=scores.device)
    rows = torch.arange(len(scores), device=scores.device)
    for _ in range(MAX_DRAWS):
        drawn = _draw(weights, sums, generator)
        inside = _in_nucleus(scores, weights, drawn, top_p)
        ids[rows[inside]] = drawn[inside]
        outside = (~inside).nonzero().squeeze(1)
        if len(outside) == 0:
            return ids
        rows, scores, weights, sums = (x[outside] for x in (rows, scores, weights, sums))
    weights = _nucleus_weights(scores, weights, top_p)
    ids[rows] = _draw(weights, _block_sums(weights), generator)
    return ids


def _block_size(vocab_size: int) -> int:
    return math.isqrt(vocab_size - 1) + 1


def _block_sums(weights_BV: torch.Tensor) -> torch.Tensor:
    """Sums over blocks of about sqrt(V) neighbouring tokens; the last block takes the rest."""
    size = _block_size(weights_BV.shape[1])
    whole = weights_BV.shape[1] // size
    first, last = weights_BV[:, : whole * size], weights_BV[:, whole * size :]
    return torch.cat([first.unflatten(1, (whole, size)).sum(2), last.sum(1, keepdim=True)], dim=1)


def _draw(weights_BV: torch.Tensor, sums_BN: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """
    Draws a token per row with probability proportional to its weight: a block first, then a token in it.

    Only one block per row is accumulated token by token, and in float64: a running float32 sum over a large vocabulary
    would distort the small probabilities.
    """
    vocab_size, device = weights_BV.shape[1], weights_BV.device
    dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
    uniform = torch.rand((2, len(weights_BV), 1), dtype=dtype, device=device, generator=generator)

    def invert(masses: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        # The first entry whose cumulative sum exceeds u * total, so never one without mass: u < 1.
        cumulative = masses.to(dtype).cumsum(1)
        return torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True)

    size = _block_size(vocab_size)
    start = invert(sums_BN, uniform[0]) * size
    inside = start + torch.arange(size, device=device)
    block = weights_BV.gather(1, inside.clamp(max=vocab_size - 1)).masked_fill(inside >= vocab_size, 0.0)
    return (start + invert(block, uniform[1])).squeeze(1)


def _in_nucleus(scores_BV: torch.Tensor, weights_BV: torch.Tensor, ids_B: torch.Tensor, top_p: float) -> torch.Tensor:
    """Whether each row's token has less than `top_p` of the probability before it, `[B]`, bool."""
    chosen = scores_BV.gather(1, ids_B[:, None])
    # Cheap and enough for most tokens: they and all that are as likely are inside.
    inside = weights_BV.where(scores_BV >= chosen, 0.0).sum(1) < top_p
    unsure = (~inside).nonzero().squeeze(1)
    if len(unsure):
        scores, chosen, ids = scores_BV[unsure], chosen[unsure], ids_B[unsure, None]
        position = torch.arange(scores.shape[1], device=scores.device)
        before = (scores > chosen) | ((scores == chosen) & (position > ids))
        inside[unsure] = weights_BV[unsure].where(before, 0.0).sum(1) < top_p
    return inside


def _nucleus_weights(scores_BV: torch.Tensor, weights_BV: torch.Tensor, top_p: float) -> torch.Tensor:
    """The weights with zeros outside the nucleus, by sorting."""
    order = scores_BV.sort(dim=1, stable=True).indices.flip(1)
    weights = weights_BV.gather(1, order)
    before = weights.cumsum(1).roll(1, dims=1)
    before[:, 0] = 0.0
    return torch.zeros_like(weights_BV).scatter(1, order, weights.where(before < top_p, 0.0))
