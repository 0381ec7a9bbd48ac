# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
What a model says of the tokens that follow some positions, without the logits of the whole vocabulary.

A row of logits has as many numbers as the vocabulary, 262,144 of Gemma's, of which an evaluation needs a few and the
normaliser. Here logits come in tiles that a processor's cache holds, and each is summed up before the next one comes.
It is exact: the normaliser is that of all tokens (an online softmax; Milakov and Gimelshein 2018, arXiv 1805.02867).

Shape letters: N positions; V vocabulary; W part of the vocabulary; H hidden size; E pairs of a position and a token.
"""

import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from ddg_hf.errors import UserError
from ddg_hf.models.output_layer import explains_logits, transform_logits

# Positions and logits of a tile: 2**20 float32 values are 4 MiB. A GPU is faster with larger ones.
CPU_POSITIONS, CPU_TILE = 512, 2**20
GPU_POSITIONS, GPU_TILE = 4096, 2**26

Tile = tuple[int, int, torch.Tensor]
"""First position, first token, and logits `[N, W]` that may be overwritten."""


class NextTokens:
    """
    The tokens that may follow N positions.

    Args:
        states_NH: Hidden states that enter the output layer at these positions; without `layer` the logits, `[N, V]`.
        layer: The model's output layer.
        config: The model's text configuration.
    """

    def __init__(self, states_NH: torch.Tensor, layer: torch.nn.Linear | None = None, config=None):
        self.states_NH, self.layer, self.config = states_NH, layer, config

    def __len__(self) -> int:
        return len(self.states_NH)

    def __getitem__(self, rows_R: torch.Tensor) -> "NextTokens":
        """Those of some positions."""
        return NextTokens(self.states_NH[rows_R], self.layer, self.config)

    @property
    def device(self) -> torch.device:
        return self.states_NH.device

    @staticmethod
    def cat(parts: Sequence["NextTokens"]) -> "NextTokens":
        """Those of one model at several groups of positions."""
        return NextTokens(torch.cat([part.states_NH for part in parts]), parts[0].layer, parts[0].config)

    def _tiles(self) -> Iterator[Tile]:
        on_cpu = self.device.type == "cpu"
        positions, size = (CPU_POSITIONS, CPU_TILE) if on_cpu else (GPU_POSITIONS, GPU_TILE)
        if self.layer is None:
            positions = max(1, size // self.states_NH.shape[1])
            for first in range(0, len(self), positions):
                yield first, 0, _exact(self.states_NH[first : first + positions].clone())
            return
        weight_VH, bias_V = self.layer.weight, self.layer.bias
        for first in range(0, len(self.states_NH), positions):
            hidden_nH = self.states_NH[first : first + positions]
            width = max(1, size // len(hidden_nH))
            for token in range(0, len(weight_VH), width):
                bias_W = None if bias_V is None else bias_V[token : token + width]
                logits_nW = torch.nn.functional.linear(hidden_nH, weight_VH[token : token + width], bias_W)
                yield first, token, _exact(transform_logits(logits_nW, self.config))

    def logprobs(self, at_E: Sequence[int], tokens_E: Sequence[int]) -> torch.Tensor:
        """
        Log-probability `[E]`, nats, of token `tokens_E[e]` at position `at_E[e]` of N.

        Raises:
            UserError: a logit is NaN or infinity (minus infinity is a token that cannot come), or the model does not
                have one of the tokens.
        """
        vocabulary = self.states_NH.shape[1] if self.layer is None else len(self.layer.weight)
        if max(tokens_E) >= vocabulary:
            raise UserError(
                f"the tokenizer has a token {max(tokens_E)}, but the model knows {vocabulary}; load the tokenizer of "
                "the model"
            )
        pairs = _Pairs(np.asarray(at_E, np.int64), np.asarray(tokens_E, np.int64))
        found_E = highest_N1 = total_N1 = None
        for first, token, logits in self._tiles():
            if found_E is None:
                found_E = logits.new_empty(len(pairs.order))
                highest_N1 = logits.new_full((len(self), 1), torch.finfo(logits.dtype).min)
                total_N1 = torch.zeros_like(highest_N1)
            here = pairs.within(first, token, *logits.shape)
            if len(here):
                at_e, tokens_e = (torch.from_numpy(x[here]).to(self.device) for x in (pairs.at_E, pairs.tokens_E))
                found_E[torch.from_numpy(here).to(self.device)] = logits[at_e - first, tokens_e - token]
            rows = slice(first, first + len(logits))
            before = highest_N1[rows].clone()
            highest = torch.maximum(before, logits.amax(-1, keepdim=True))
            total_N1[rows] *= (before - highest).exp()
            total_N1[rows] += logits.sub_(highest).exp_().sum(-1, keepdim=True)
            highest_N1[rows] = highest
        normalizer_N = (highest_N1 + total_N1.log())[:, 0]
        _check(normalizer_N)
        return found_E - normalizer_N[torch.from_numpy(pairs.at_E).to(self.device)]

    def most_likely(self) -> torch.Tensor:
        """The most likely token `[N]` at each position; of equal ones the first. Raises as [`logprobs`] does."""
        best_N = torch.zeros(len(self), dtype=torch.long, device=self.device)
        highest_N = None
        for first, token, logits in self._tiles():
            if highest_N is None:
                highest_N = logits.new_full((len(self),), float("-inf"))
            rows = slice(first, first + len(logits))
            highest, index = logits.max(-1)
            # NaN is the greatest of all to `max`, and must stay.
            better = (highest > highest_N[rows]) | highest.isnan()
            best_N[rows] = torch.where(better, index + token, best_N[rows])
            highest_N[rows] = torch.where(better, highest, highest_N[rows])
        _check(highest_N)
        return best_N


class _Pairs:
    """Pairs of a position and a token, sorted so that those in a tile are found at once."""

    def __init__(self, at_E: np.ndarray, tokens_E: np.ndarray):
        self.at_E, self.tokens_E = at_E, tokens_E
        self.order = np.argsort(tokens_E, kind="stable")
        self._sorted = tokens_E[self.order]

    def within(self, first: int, token: int, positions: int, width: int) -> np.ndarray:
        """Indices of the pairs in a tile."""
        start, end = np.searchsorted(self._sorted, (token, token + width))
        some = self.order[start:end]
        at = self.at_E[some]
        return some[(first <= at) & (at < first + positions)]


def _exact(logits: torch.Tensor) -> torch.Tensor:
    """Logits in which sums over a vocabulary are exact enough."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _check(values_N: torch.Tensor) -> None:
    if not values_N.isfinite().all():
        raise UserError("the model returns NaN logits; try --dtype float32 or another --attn_implementation")


# Whether the output layer of each model that has been asked about is all there is behind the base model.
_plain: weakref.WeakKeyDictionary[PreTrainedModel, bool] = weakref.WeakKeyDictionary()


def plain_output_layer(model: PreTrainedModel) -> torch.nn.Linear | None:
    """
    The output layer of `model` if its logits are those of [`NextTokens`], which is tried once for each model; `None`
    if it does something else with its hidden states, or if the model or its layer is wrapped or has hooks, which would
    be passed over.
    """
    layer = model.get_output_embeddings()
    if type(layer) is not torch.nn.Linear or not isinstance(model, PreTrainedModel) or model.base_model is model:
        return None
    for module in (model, layer):
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            return None
    if model not in _plain:
        _plain[model] = explains_logits(model)
    return layer if _plain[model] else None
