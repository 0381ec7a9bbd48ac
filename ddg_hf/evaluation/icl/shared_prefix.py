# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Attention of many rows to one prefix whose keys and values are never copied.

Every row sees the whole prefix, so the queries of all rows can be laid side by side and read the prefix as if they
were one long row; what they see of their own rows is computed apart, and the two parts are weighed by the sums of
their softmaxes. This is exact: Juravsky et al., "Hydragen: High-Throughput LLM Inference with Shared Prefixes" (arXiv
2402.05099, section 3.1). The own tokens of a row may be a tree, whose branches do not see one another: all labels are
scored at once.

Shape letters as in `reading.py`; further: H query heads; K key/value heads; G = H / K; D head size; P tokens of the
prefix that a layer keeps; E the first of these, where some new tokens do not see them; N queries of a row, those of
all heads of a group laid side by side.
"""

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import torch
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicSlidingWindowLayer

from .next_tokens import NextTokens
from .reading import Branches, fork, forward, is_plain, pad_right, prefill, read_batches

ATTENTION = "ddg_hf_shared_prefix"
# Attention scores held at once where there is no fused kernel: 2**22 float32 values are 16 MiB.
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
        self.furthest = 0
        # Those since the last `look`: layers with the same window have the same.
        self._masks: dict[tuple, torch.Tensor] = {}

    def look(self, visible_BTS: torch.Tensor, offsets_BT: torch.Tensor, key_offsets_BS: torch.Tensor) -> None:
        """
        Says what the next forward pass sees.

        Args:
            visible_BTS: Whether each new token sees each token of its row.
            offsets_BT, key_offsets_BS: Positions of new tokens and of all tokens of the rows, counted from the end of
                the prefix.
        """
        self.visible_BTS, self.offsets_BT, self.key_offsets_BS = visible_BTS, offsets_BT, key_offsets_BS
        self.furthest = int(offsets_BT.max())
        self._masks = {}

    def visible_in_row(self, layer: int) -> torch.Tensor:
        """`[B, T, S]`: what a token sees of its row through the window of a layer."""
        window = self.windows[layer]
        if window is None or self.furthest < window:
            return self.visible_BTS
        return self.visible_BTS & (self.offsets_BT[:, :, None] - self.key_offsets_BS[:, None, :] < window)

    def split(self, layer: int) -> int:
        """How many of the first tokens of the prefix that a layer keeps leave its window for some of the new ones."""
        keys_values, window = self.keys_values[layer], self.windows[layer]
        if keys_values is None or window is None:
            return 0
        num_keys = keys_values[0].shape[2]
        return min(num_keys, max(0, self.furthest + num_keys - window + 1))

    def mask(self, layer: int, dtype: torch.dtype) -> torch.Tensor:
        """
        `[B, 1, T, split + S]`: 0 where a token sees one of the first tokens of the prefix ([`split`]) or of its row,
        minus infinity elsewhere.
        """
        key = (self.windows[layer], edge := self.split(layer), dtype)
        if key not in self._masks:
            visible_BTS = self.visible_in_row(layer)
            if edge:
                # The last key of the prefix is at offset -1.
                first = -self.keys_values[layer][0].shape[2]
                edge_E = torch.arange(first, first + edge, device=self.offsets_BT.device)
                seen_BTE = self.offsets_BT[:, :, None] - edge_E < self.windows[layer]
                visible_BTS = torch.cat([seen_BTE, visible_BTS], dim=2)
            mask_BTS = torch.zeros_like(visible_BTS, dtype=dtype).masked_fill_(~visible_BTS, float("-inf"))
            self._masks[key] = mask_BTS[:, None]
        return self._masks[key]


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
    scaling = D**-0.5 if scaling is None else scaling
    query_BKND = query.reshape(B, K, H // K * T, D)
    edge, kept = prefix.split(layer), prefix.keys_values[layer]
    if edge:
        key, value = (
            torch.cat([states[:, :, :edge].expand(B, -1, -1, -1), own], dim=2)
            for states, own in zip(kept, (key, value), strict=True)
        )
    mask_B1TS = prefix.mask(layer, query.dtype)
    output_BKND, sums_BKN1 = _attend(query_BKND, key, value, scaling, softcap, mask_B1TS)
    if kept is not None and edge < kept[0].shape[2]:
        flat_1KND = query_BKND.transpose(0, 1).reshape(1, K, -1, D)
        found = _attend(flat_1KND, *(states[:, :, edge:] for states in kept), scaling, softcap)
        far_BKND, far_sums_BKN1 = (x.view(K, B, x.shape[2] // B, -1).transpose(0, 1) for x in found)
        share_BKN1 = torch.sigmoid(far_sums_BKN1 - sums_BKN1)
        near_BKND, far_BKND = (output.to(share_BKN1.dtype) for output in (output_BKND, far_BKND))
        output_BKND = torch.lerp(near_BKND, far_BKND, share_BKN1).to(value.dtype)
    return output_BKND.reshape(B, H, T, -1).transpose(1, 2), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float,
    softcap: float | None,
    mask_B1TS: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Attention `[B, K, N, D]` of `query` `[B, K, N, D]` to `key` and `value` `[B, K, S, D]`, to all of them where there
    is no mask, and the logarithms of the softmax's sums, `[B, K, N, 1]`. The mask is that of each head of a group.
    """
    if _has_kernel(query, value, softcap):
        mask_B1NS = None if mask_B1TS is None else mask_B1TS.repeat(1, 1, query.shape[2] // mask_B1TS.shape[2], 1)
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        output, sums_BKN = kernel(query, key, value, 0.0, False, attn_mask=mask_B1NS, scale=scaling)
        return output, sums_BKN.unsqueeze(-1)
    at_once = MAX_SCORES if query.device.type == "cpu" else 16 * MAX_SCORES
    size = max(1, at_once // (key.shape[0] * key.shape[1] * key.shape[2]))
    pieces = []
    for start in range(0, query.shape[2], size):
        scores = (query[:, :, start : start + size] * scaling @ key.transpose(-1, -2)).float()
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        if mask_B1TS is not None:
            steps = torch.arange(start, start + scores.shape[2], device=scores.device) % mask_B1TS.shape[2]
            scores += mask_B1TS[:, :, steps]
        sums = scores.logsumexp(-1, keepdim=True)
        pieces.append((scores.sub_(sums).exp_().to(value.dtype) @ value, sums))
    output, sums = (torch.cat(parts, dim=2) for parts in zip(*pieces, strict=True))
    return output, sums


def _has_kernel(query: torch.Tensor, value: torch.Tensor, softcap: float | None) -> bool:
    """Whether PyTorch's fused attention returns the sums of its softmax here; scores then never leave the cache."""
    return query.device.type == "cpu" and softcap is None and query.shape[-1] == value.shape[-1]


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
        continued: Whether the rows will be read on.
    """

    can_branch = True

    def __init__(
        self, model: PreTrainedModel, prefix: SharedPrefix, rows: Sequence[Sequence[int]], continued: bool = True
    ):
        self.model, self.prefix = model, prefix
        lengths = [len(row) for row in rows]
        self.lengths_B = torch.tensor(lengths, device=model.device)
        steps_S = torch.arange(max(lengths), device=model.device)
        self.offsets_BS = steps_S.expand(len(rows), -1)
        self.real_BS = steps_S < self.lengths_B[:, None]
        batches, caches, found = read_batches(lengths, model.device), [], []
        for some in batches:
            cache, next_b = self._read_part(rows, some)
            found.append(next_b)
            caches += [cache] if continued else []
        order = torch.tensor([row for some in batches for row in some], device=model.device)
        self.next_B = NextTokens.cat(found)[order.argsort()]
        # Of the rows, without the prefix.
        self.cache = _join(batches, caches) if continued else None

    def _read_part(self, rows, some: list[int]) -> tuple[DynamicCache, NextTokens]:
        ids_bT, lengths_b = pad_right([rows[row] for row in some], self.model.device)
        steps_T = torch.arange(ids_bT.shape[1], device=ids_bT.device)
        offsets_bT, visible_bTT = steps_T.expand_as(ids_bT), (steps_T[:, None] >= steps_T).expand(len(some), -1, -1)
        cache, at_b1 = DynamicCache(), lengths_b[:, None] - 1
        return cache, self._forward(cache, ids_bT, visible_bTT, offsets_bT, offsets_bT, at_b1)

    def _forward(self, cache, ids_BT, visible_BTS, offsets_BT, key_offsets_BS, at_BM) -> NextTokens:
        self.prefix.look(visible_BTS, offsets_BT, key_offsets_BS)
        with _attending(self.model, self.prefix):
            # The mask says nothing, and keeps models from asking for one.
            mask_BT = torch.ones_like(ids_BT)
            return forward(self.model, cache, ids_BT, self.prefix.length + offsets_BT, at_BM, mask_BT)

    def read(
        self, rows: Sequence[int], ids_RT: torch.Tensor, at_RM: torch.Tensor, branches: Branches | None = None
    ) -> NextTokens:
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
        cache = fork(self.cache, rows=None if list(rows) == list(range(len(self.lengths_B))) else rows_R)
        return self._forward(cache, ids_RT, visible_RTS, offsets_RT, key_offsets_RS, at_RM)

    @property
    def num_kept(self) -> int:
        """See [`~ddg_hf.evaluation.icl.reading.Rows`]."""
        return self.real_BS.shape[1]

    def grow(self, ids_BT: torch.Tensor, depths_BT: torch.Tensor, seen_BTS: torch.Tensor) -> NextTokens:
        """See [`~ddg_hf.evaluation.icl.reading.Rows`]."""
        B, T = ids_BT.shape
        itself_BTT = torch.eye(T, dtype=torch.bool, device=ids_BT.device).expand(B, -1, -1)
        visible_BTS = torch.cat([self.real_BS[:, None] | seen_BTS, itself_BTT], dim=2)
        offsets_BT = self.lengths_B[:, None] + depths_BT
        self.offsets_BS = torch.cat([self.offsets_BS, offsets_BT], dim=1)
        self.real_BS = torch.cat([self.real_BS, torch.zeros_like(ids_BT, dtype=torch.bool)], dim=1)
        at_BT = torch.arange(T, device=ids_BT.device).expand(B, -1)
        return self._forward(self.cache, ids_BT, visible_BTS, offsets_BT, self.offsets_BS, at_BT)

    def append(self, ids_B: torch.Tensor) -> None:
        """See [`~ddg_hf.evaluation.icl.reading.Rows`]."""
        ids_B1, offsets_B1 = ids_B[:, None], self.lengths_B[:, None]
        self.real_BS = torch.cat([self.real_BS, torch.ones_like(ids_B1, dtype=torch.bool)], dim=1)
        self.offsets_BS = torch.cat([self.offsets_BS, offsets_B1], dim=1)
        visible_B1S, at_B1 = self.real_BS[:, None], torch.zeros_like(ids_B1)
        self.next_B = self._forward(self.cache, ids_B1, visible_B1S, offsets_B1, self.offsets_BS, at_B1)
        self.lengths_B = self.lengths_B + 1

    def select(self, rows: Sequence[int]) -> None:
        """See [`~ddg_hf.evaluation.icl.reading.Rows`]."""
        rows_R = torch.as_tensor(rows, device=self.lengths_B.device)
        self.cache = fork(self.cache, rows=rows_R)
        self.real_BS, self.offsets_BS = self.real_BS[rows_R], self.offsets_BS[rows_R]
        self.lengths_B, self.next_B = self.lengths_B[rows_R], self.next_B[rows_R]


def _join(batches: Sequence[list[int]], caches: Sequence[DynamicCache]) -> DynamicCache:
    """One cache of all rows, the shorter ones padded at their end, from those of some rows each."""
    if len(batches) == 1 and batches[0] == sorted(batches[0]):
        return caches[0]
    joined, number = DynamicCache(), sum(map(len, batches))
    longest = max(cache.layers[0].keys.shape[2] for cache in caches)
    for layer in range(len(caches[0].layers)):
        states = []
        for name in ("keys", "values"):
            first = getattr(caches[0].layers[layer], name)
            states.append(first.new_zeros(number, first.shape[1], longest, first.shape[3]))
            for rows, cache in zip(batches, caches, strict=True):
                part = getattr(cache.layers[layer], name)
                states[-1][torch.tensor(rows, device=part.device), :, : part.shape[2]] = part
        joined.update(*states, layer)
    return joined


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
    devices = set((getattr(model, "hf_device_map", None) or {}).values())
    return bool(getattr(model, "_supports_attention_backend", False)) and kinds <= _LAYER_TYPES and len(devices) <= 1


@torch.inference_mode()
def _agrees(model: PreTrainedModel) -> bool:
    ids = [1, 2, 3, 4, 5]
    cache = prefill(model, ids)
    if not is_plain(cache):
        return False
    try:
        next_B = SharedRows(model, SharedPrefix(cache, len(ids)), [[2, 4], [5]]).next_B
    except UnknownAttention:
        return False
    prompts = [torch.tensor([ids + row], device=model.device) for row in ([2, 4], [5])]
    expected_BV = torch.stack([model(prompt).logits[0, -1].float().log_softmax(-1) for prompt in prompts])
    likely = expected_BV.topk(10).indices.flatten()
    at = torch.arange(2).repeat_interleave(10)
    difference = (next_B.logprobs(at, likely.cpu()) - expected_BV[at, likely]).abs().max()
    return bool(difference <= (1e-3 if model.dtype in (torch.float32, torch.float64) else 0.3))
