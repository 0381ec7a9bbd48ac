# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Attention of many rows to one prefix whose keys and values are never copied.

Every row sees the whole prefix, so the queries of all rows can be laid side by side and multiplied with the prefix's
keys in one matrix product, and each row's own tokens are added to the same softmax. This is exact; Juravsky et al.,
"Hydragen: High-Throughput LLM Inference with Shared Prefixes" (arXiv 2402.05099, section 3.1) compute the same in two
parts. The own tokens of a row may be a tree, whose branches do not see one another: all labels are scored at once.

Shape letters as in `reading.py`; further: H query heads; K key/value heads; G = H / K; D head size; P tokens of the
prefix that a layer keeps; N tokens of all rows laid side by side.
"""

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import torch
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicSlidingWindowLayer

from .reading import Branches, forward, is_plain, pad_right, prefill

ATTENTION = "ddg_hf_shared_prefix"
# Attention scores held at once: 2**22 float32 values are 16 MiB, which a processor's cache can nearly hold.
MAX_SCORES = 2**22

_LAYER_TYPES = {"full_attention", "sliding_attention"}


class SharedPrefix:
    """
    The keys and values of a prefix, `[1, K, P, D]` in each layer, and what the tokens being read see of their rows.

    Args:
        prefilled: Plain cache of a model that has read the prefix.
        length: Tokens of the prefix; a sliding layer keeps only the last ones.
    """

    def __init__(self, prefilled: DynamicCache, length: int):
        self.length = length
        self.keys_values = [(layer.keys, layer.values) if length else None for layer in prefilled.layers]
        self.windows = [
            layer.sliding_window if isinstance(layer, DynamicSlidingWindowLayer) else None
            for layer in prefilled.layers
        ]
        self.visible_BTS = self.offsets_BT = self.key_offsets_BS = torch.empty(0)

    def look(self, visible_BTS: torch.Tensor, offsets_BT: torch.Tensor, key_offsets_BS: torch.Tensor) -> None:
        """
        Says what the next forward pass sees.

        Args:
            visible_BTS: Whether each new token sees each token of its row.
            offsets_BT, key_offsets_BS: Positions of new tokens and of all tokens of the rows, counted from the end of
                the prefix.
        """
        self.visible_BTS, self.offsets_BT, self.key_offsets_BS = visible_BTS, offsets_BT, key_offsets_BS

    def visible_in_row(self, layer: int) -> torch.Tensor:
        """`[B, T, S]`: what a token sees of its row through the window of a layer."""
        window = self.windows[layer]
        if window is None or int(self.offsets_BT.max()) < window:
            return self.visible_BTS
        return self.visible_BTS & (self.offsets_BT[:, :, None] - self.key_offsets_BS[:, None, :] < window)

    def hidden_in_prefix(self, layer: int, num_keys: int) -> torch.Tensor | None:
        """`[B, T, P]`: what lies outside the window of a layer; `None` if nothing does."""
        window = self.windows[layer]
        if window is None or int(self.offsets_BT.max()) + num_keys < window:
            return None
        # The last key is at offset -1.
        keys_P = torch.arange(-num_keys, 0, device=self.offsets_BT.device)
        return self.offsets_BT[:, :, None] - keys_P >= window


class UnknownAttention(RuntimeError):
    """A model's attention needs something that [`shared_prefix_attention`] does not do."""


_prefix: ContextVar[SharedPrefix] = ContextVar("ddg_hf_shared_prefix")


def shared_prefix_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **others,
) -> tuple[torch.Tensor, None]:
    """
    An attention function of transformers' `AttentionInterface`.

    Args:
        module: Attention module, with `layer_idx`.
        query: `[B, H, T, D]`.
        key, value: `[B, K, S, D]`, of the rows without the prefix.
        attention_mask: not used; see [`SharedPrefix.look`].
        scaling: Factor of the scores; 1 / sqrt(D) by default.
        softcap: Bound of the scores, tanh(score / softcap) * softcap.

    Returns:
        `[B, T, H, D]`, and no weights.
    """
    if any(others.get(name) is not None for name in ("s_aux", "position_bias")):
        raise UnknownAttention("attention sinks and position biases are not known here")
    prefix, layer = _prefix.get(), module.layer_idx
    B, H, T, D = query.shape
    K = key.shape[1]
    G = H // K
    query_KBND = (query * (D**-0.5 if scaling is None else scaling)).reshape(B, K, G * T, D).transpose(0, 1)
    key_KBSD, value_KBSD = key.transpose(0, 1), value.transpose(0, 1)
    hidden_BTS = ~prefix.visible_in_row(layer)
    prefix_keys, prefix_values = prefix.keys_values[layer] or (None, None)
    num_keys = 0 if prefix_keys is None else prefix_keys.shape[2]
    outside_BTP = prefix.hidden_in_prefix(layer, num_keys) if num_keys else None
    at_once = MAX_SCORES if query.device.type == "cpu" else 16 * MAX_SCORES
    size = max(1, at_once // (H * T * (num_keys + key.shape[2])))
    pieces = []
    for start in range(0, B, size):
        rows = slice(start, min(start + size, B))
        queries = query_KBND[:, rows]
        own = _scores(queries @ key_KBSD[:, rows].transpose(-1, -2), softcap, hidden_BTS[rows], G)
        if not num_keys:
            pieces.append(own.softmax(-1).to(value.dtype) @ value_KBSD[:, rows])
            continue
        flat = queries.reshape(K, -1, D)
        scores = (flat @ prefix_keys[0].transpose(-1, -2)).view(K, rows.stop - start, G * T, num_keys)
        far = _scores(scores, softcap, None if outside_BTP is None else outside_BTP[rows], G)
        # A token sees at least itself, so the highest score is finite.
        highest = torch.maximum(far.amax(-1, keepdim=True), own.amax(-1, keepdim=True))
        far.sub_(highest).exp_()
        own.sub_(highest).exp_()
        total = far.sum(-1, keepdim=True) + own.sum(-1, keepdim=True)
        seen = (far.to(value.dtype).view(K, -1, num_keys) @ prefix_values[0]).view(*far.shape[:3], -1)
        pieces.append((seen + own.to(value.dtype) @ value_KBSD[:, rows]) / total.to(value.dtype))
    output_KBGTD = torch.cat(pieces, dim=1).view(K, B, G, T, -1)
    return output_KBGTD.permute(1, 3, 0, 2, 4).reshape(B, T, H, -1), None


def _scores(scores: torch.Tensor, softcap: float | None, hidden_BTS: torch.Tensor | None, groups: int) -> torch.Tensor:
    """Scores `[K, B, G * T, S]` in float32, capped, and minus infinity where `hidden_BTS`."""
    scores = scores.float()
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if hidden_BTS is not None:
        scores = scores.masked_fill(hidden_BTS.repeat(1, groups, 1), float("-inf"))
    return scores


AttentionInterface.register(ATTENTION, shared_prefix_attention)


@contextlib.contextmanager
def _attending(model: PreTrainedModel, prefix: SharedPrefix) -> Iterator[None]:
    """Within it, `model` attends to `prefix`."""
    before = model.config._attn_implementation
    token = _prefix.set(prefix)
    try:
        model.set_attn_implementation(ATTENTION)
        yield
    finally:
        model.set_attn_implementation(before)
        _prefix.reset(token)


class SharedRows:
    """
    [`~ddg_hf.evaluation.icl.reading.Rows`] that share the keys and values of their prefix, for models that
    [`can_share`].

    Args:
        model: Causal language model.
        prefix: What the model has read before.
        rows: The tokens of each row, at least one.
    """

    can_branch = True

    def __init__(self, model: PreTrainedModel, prefix: SharedPrefix, rows: Sequence[Sequence[int]]):
        self.model, self.prefix = model, prefix
        ids_BT, self.lengths_B = pad_right(rows, model.device)
        steps_T = torch.arange(ids_BT.shape[1], device=model.device)
        # Of the rows, without the prefix.
        self.cache = DynamicCache()
        self.offsets_BS = steps_T.expand_as(ids_BT)
        self.real_BS = steps_T < self.lengths_B[:, None]
        visible_BTT = (steps_T[:, None] >= steps_T).expand(len(rows), -1, -1)
        at_B1 = self.lengths_B[:, None] - 1
        self.logits_BV = self._forward(self.cache, ids_BT, visible_BTT, self.offsets_BS, self.offsets_BS, at_B1)[:, 0]

    def _forward(self, cache, ids_BT, visible_BTS, offsets_BT, key_offsets_BS, at_BM) -> torch.Tensor:
        self.prefix.look(visible_BTS, offsets_BT, key_offsets_BS)
        with _attending(self.model, self.prefix):
            # The mask says nothing, and keeps models from asking for one.
            mask_BT = torch.ones_like(ids_BT)
            return forward(self.model, cache, ids_BT, self.prefix.length + offsets_BT, at_BM, mask_BT)

    def _of(self, rows_R: torch.Tensor | None) -> DynamicCache:
        """A cache that continues that of some rows, or of all."""
        fork = DynamicCache()
        for layer, part in enumerate(self.cache.layers):
            keys, values = (part.keys, part.values) if rows_R is None else (part.keys[rows_R], part.values[rows_R])
            fork.update(keys, values, layer)
        return fork

    def read(
        self, rows: Sequence[int], ids_RT: torch.Tensor, at_RM: torch.Tensor, branches: Branches | None = None
    ) -> torch.Tensor:
        """See [`~ddg_hf.evaluation.icl.reading.Rows`]."""
        steps_T = torch.arange(ids_RT.shape[1], device=ids_RT.device)
        depths_T, visible_TT = steps_T, steps_T[:, None] >= steps_T
        if branches is not None:
            depths_T, visible_TT = branches.depths_T, branches.visible_TT
        rows_R = torch.as_tensor(rows, device=ids_RT.device)
        offsets_RT = self.lengths_B[rows_R, None] + depths_T
        before_RTS = self.real_BS[rows_R, None].expand(-1, len(steps_T), -1)
        visible_RTS = torch.cat([before_RTS, visible_TT.expand(len(rows), -1, -1)], dim=2)
        key_offsets_RS = torch.cat([self.offsets_BS[rows_R], offsets_RT], dim=1)
        cache = self._of(None if list(rows) == list(range(len(self.lengths_B))) else rows_R)
        return self._forward(cache, ids_RT, visible_RTS, offsets_RT, key_offsets_RS, at_RM)

    def append(self, ids_B: torch.Tensor) -> None:
        """See [`~ddg_hf.evaluation.icl.reading.Rows`]."""
        ids_B1, offsets_B1 = ids_B[:, None], self.lengths_B[:, None]
        self.real_BS = torch.cat([self.real_BS, torch.ones_like(ids_B1, dtype=torch.bool)], dim=1)
        self.offsets_BS = torch.cat([self.offsets_BS, offsets_B1], dim=1)
        visible_B1S, at_B1 = self.real_BS[:, None], torch.zeros_like(ids_B1)
        self.logits_BV = self._forward(self.cache, ids_B1, visible_B1S, offsets_B1, self.offsets_BS, at_B1)[:, 0]
        self.lengths_B = self.lengths_B + 1

    def select(self, rows: Sequence[int]) -> None:
        """See [`~ddg_hf.evaluation.icl.reading.Rows`]."""
        rows_R = torch.as_tensor(rows, device=self.lengths_B.device)
        self.cache = self._of(rows_R)
        self.real_BS, self.offsets_BS = self.real_BS[rows_R], self.offsets_BS[rows_R]
        self.lengths_B, self.logits_BV = self.lengths_B[rows_R], self.logits_BV[rows_R]


# Whether each model that has been asked about can share; a model is asked once.
_can_share: weakref.WeakKeyDictionary[PreTrainedModel, bool] = weakref.WeakKeyDictionary()


def can_share(model: PreTrainedModel) -> bool:
    """
    Whether [`SharedRows`] give the logits of `model`: its attention can be exchanged, its layers are full or sliding
    attention, and the logits of a short text are those of an ordinary forward pass.
    """
    if model not in _can_share:
        _can_share[model] = _supports(model) and _agrees(model)
    return _can_share[model]


def _supports(model: PreTrainedModel) -> bool:
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return bool(getattr(model, "_supports_attention_backend", False)) and kinds <= _LAYER_TYPES


@torch.inference_mode()
def _agrees(model: PreTrainedModel) -> bool:
    ids = [1, 2, 3, 4, 5]
    cache = prefill(model, ids)
    if not is_plain(cache):
        return False
    try:
        found_BV = SharedRows(model, SharedPrefix(cache, len(ids)), [[2, 4], [5]]).logits_BV.log_softmax(-1)
    except UnknownAttention:
        return False
    prompts = [torch.tensor([ids + row], device=model.device) for row in ([2, 4], [5])]
    expected_BV = torch.stack([model(prompt).logits[0, -1].float().log_softmax(-1) for prompt in prompts])
    likely_B10 = expected_BV.topk(10).indices
    difference = (found_BV.gather(1, likely_B10) - expected_BV.gather(1, likely_B10)).abs().max()
    return bool(difference <= (1e-3 if model.dtype in (torch.float32, torch.float64) else 0.3))
