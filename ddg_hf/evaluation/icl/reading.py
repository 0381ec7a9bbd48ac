# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Rows of tokens that a causal language model has read behind one shared prefix, and that it can go on reading.

Two ways that give the same numbers: [`ExpandedRows`] works with every model; [`SharedRows`]
(`shared_prefix.py`) never copies the prefix, but needs a model with an exchangeable attention function.

Shape letters: B rows; R some of them; T new tokens of a row; S all tokens of a row, those in the cache included; M
positions of a row at which logits are needed; V vocabulary.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from ddg_hf.errors import UserError

# Tokens of a prefix that are read at once.
PREFILL_TOKENS = 1024


@dataclass(frozen=True)
class Branches:
    """
    Tokens that are read behind every row at once although they do not all follow one another: those of a tree.

    Attributes:
        depths_T: Number of tokens of the tree before each token on its own path.
        visible_TT: Whether token t sees token s of the tree: its ancestors and itself.
    """

    depths_T: torch.Tensor
    visible_TT: torch.Tensor


class Rows(Protocol):
    """
    Rows that have been read up to the end of their queries.

    Attributes:
        logits_BV: Logits of the token that follows each row, float32.
        can_branch: Whether `read` takes `branches`.
    """

    logits_BV: torch.Tensor
    can_branch: bool

    def read(
        self, rows: Sequence[int], ids_RT: torch.Tensor, at_RM: torch.Tensor, branches: Branches | None = None
    ) -> torch.Tensor:
        """
        Reads `ids_RT` behind some rows, which stay as they are; returns logits `[R, M, V]` at positions `at_RM`. A row
        may be named several times.
        """

    def append(self, ids_B: torch.Tensor) -> None:
        """Reads one more token in every row; `logits_BV` are then those behind it."""

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only some rows."""


@contextlib.contextmanager
def _head_only_at(model: PreTrainedModel, at_BM: torch.Tensor) -> Iterator[list[bool]]:
    """
    Applies the model's output layer at `at_BM` of each row only.

    The hidden states are picked as they enter the output layer, so that whatever a model does with its logits
    afterwards (soft-capping, scaling) still happens. `logits_to_keep` would need the same positions in all rows.
    """
    done: list[bool] = []

    def pick(module, args):
        done.append(True)
        hidden_BTH = args[0]
        index_BM1 = at_BM.unsqueeze(-1).expand(-1, -1, hidden_BTH.shape[-1])
        return (hidden_BTH.gather(1, index_BM1), *args[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        yield done
    finally:
        handle.remove()


def forward(
    model: PreTrainedModel,
    cache: DynamicCache,
    ids_BT: torch.Tensor,
    positions_BT: torch.Tensor,
    at_BM: torch.Tensor,
    mask_BS: torch.Tensor | None = None,
) -> torch.Tensor:
    """Reads `ids_BT` behind the cache, which grows by them; returns float32 logits `[B, M, V]` at `at_BM`."""
    with _head_only_at(model, at_BM) as done:
        logits = model(
            input_ids=ids_BT,
            attention_mask=mask_BS,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
        ).logits
    if not done:  # the model applies its output layer in some other way
        logits = logits.gather(1, at_BM.unsqueeze(-1).expand(-1, -1, logits.shape[-1]))
    logits_BMV = logits.float()
    # Minus infinity is a token that cannot come.
    if logits_BMV.isnan().any() or logits_BMV.isposinf().any():
        raise UserError("the model returns NaN logits; try --dtype float32 or another --attn_implementation")
    return logits_BMV


def prefill(model: PreTrainedModel, prefix: Sequence[int]) -> DynamicCache:
    """
    The cache of a model that has read `prefix`, piece by piece: layers with a sliding window then compare a token with
    little more than its window, and the memory does not grow with the square of the prefix.
    """
    cache = DynamicCache(config=model.config)
    for start in range(0, len(prefix), PREFILL_TOKENS):
        ids_1T = torch.tensor([prefix[start : start + PREFILL_TOKENS]], device=model.device)
        steps_1T = torch.arange(ids_1T.shape[1], device=model.device)[None]
        mask_1S = ids_1T.new_ones(1, start + ids_1T.shape[1])
        forward(model, cache, ids_1T, start + steps_1T, steps_1T[:, -1:], mask_1S)
    return cache


def pad_right(rows: Sequence[Sequence[int]], device) -> tuple[torch.Tensor, torch.Tensor]:
    """
    `[B, T]` token ids and the lengths `[B]`. Padding is on the right, where causal attention keeps it from the tokens
    that count; any id will do.
    """
    longest = max(map(len, rows))
    ids_BT = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    return ids_BT, torch.tensor([len(row) for row in rows], device=device)


def is_plain(cache: DynamicCache) -> bool:
    """Whether all layers hold keys and values, so that padding can be hidden; a recurrent state has read it."""
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers)


def _fork(cache: DynamicCache, repeats: int = 1, rows: torch.Tensor | None = None) -> DynamicCache:
    """
    Returns a cache that continues `cache` in `repeats` times as many rows, or in some `rows` of it, and leaves the
    original as it is.

    Plain layers replace their tensors when they grow, so the copy shares them and repeats the rows without memory.
    """
    if not is_plain(cache):
        fork = copy.deepcopy(cache)
        if repeats > 1:
            fork.batch_repeat_interleave(repeats)
        if rows is not None:
            fork.batch_select_indices(rows)
        return fork
    fork = copy.copy(cache)
    fork.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in fork.layers:
        if not layer.is_initialized:
            continue
        if repeats > 1:
            layer.keys = layer.keys.expand(repeats, -1, -1, -1)
            layer.values = layer.values.expand(repeats, -1, -1, -1)
        if rows is not None:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
    return fork


def _keep_whole_window(cache: DynamicCache) -> None:
    """Makes sliding layers keep what they would drop: with padding at the end, the window still needs it."""
    for layer in cache.layers:
        if isinstance(layer, DynamicSlidingWindowLayer):
            layer.activate_past_recording()


def _roll(states_BHSD: torch.Tensor, shift_B: torch.Tensor) -> torch.Tensor:
    """Rolls row b along its third dimension to the right by `shift_B[b]`."""
    length = states_BHSD.shape[2]
    index_BS = (torch.arange(length, device=states_BHSD.device) - shift_B[:, None]) % length
    return states_BHSD.gather(2, index_BS[:, None, :, None].expand_as(states_BHSD))


def _align_right(cache: DynamicCache, padding_B: torch.Tensor) -> None:
    """
    Moves the padding of each row from its end to its beginning, where it lies outside any sliding window that a
    continuation of the row looks through.
    """
    for layer in cache.layers:
        if not layer.is_initialized:
            continue
        keep = -layer.sliding_window + 1 if isinstance(layer, DynamicSlidingWindowLayer) else 0
        layer.keys = _roll(layer.keys, padding_B)[:, :, keep:]
        layer.values = _roll(layer.values, padding_B)[:, :, keep:]
        if keep:
            layer.record_past = False


class ExpandedRows:
    """
    [`Rows`] with a cache of their own, prefix included: for any model.

    Args:
        model: Causal language model.
        prefilled: Its cache behind the prefix; left as it is.
        prefix_length: Tokens of the prefix.
        rows: The tokens of each row, at least one; all of one length if the cache is not plain and `continued`.
        continued: Whether the rows will be read on.
    """

    can_branch = False

    def __init__(
        self,
        model: PreTrainedModel,
        prefilled: DynamicCache,
        prefix_length: int,
        rows: Sequence[Sequence[int]],
        continued: bool,
    ):
        self.model = model
        ids_BT, lengths_B = pad_right(rows, model.device)
        longest = ids_BT.shape[1]
        steps_T = torch.arange(longest, device=model.device)
        real_BT = (steps_T < lengths_B[:, None]).long()
        self.mask_BS = torch.cat([real_BT.new_ones(len(rows), prefix_length), real_BT], dim=1)
        self.next_B = prefix_length + lengths_B
        self.cache = _fork(prefilled, len(rows))
        align = continued and bool((lengths_B < longest).any())
        if align:
            _keep_whole_window(self.cache)
        positions_BT = (prefix_length + steps_T).expand_as(ids_BT)
        at_B1 = lengths_B[:, None] - 1
        self.logits_BV = forward(model, self.cache, ids_BT, positions_BT, at_B1, self.mask_BS)[:, 0]
        if align:
            _align_right(self.cache, longest - lengths_B)
            self.mask_BS = _roll(self.mask_BS[:, None, :, None], longest - lengths_B)[:, 0, :, 0]

    def read(
        self, rows: Sequence[int], ids_RT: torch.Tensor, at_RM: torch.Tensor, branches: Branches | None = None
    ) -> torch.Tensor:
        """See [`Rows`]."""
        assert branches is None, "a plain cache cannot branch"
        rows_R = torch.as_tensor(rows, device=ids_RT.device)
        steps_T = torch.arange(ids_RT.shape[1], device=ids_RT.device)
        mask_RS = torch.cat([self.mask_BS[rows_R], torch.ones_like(ids_RT)], dim=1)
        cache = _fork(self.cache, rows=None if list(rows) == list(range(len(self.next_B))) else rows_R)
        return forward(self.model, cache, ids_RT, self.next_B[rows_R, None] + steps_T, at_RM, mask_RS)

    def append(self, ids_B: torch.Tensor) -> None:
        """See [`Rows`]."""
        ids_B1 = ids_B[:, None]
        self.mask_BS = torch.cat([self.mask_BS, torch.ones_like(ids_B1)], dim=1)
        at_B1 = torch.zeros_like(ids_B1)
        self.logits_BV = forward(self.model, self.cache, ids_B1, self.next_B[:, None], at_B1, self.mask_BS)[:, 0]
        self.next_B = self.next_B + 1

    def select(self, rows: Sequence[int]) -> None:
        """See [`Rows`]."""
        rows_R = torch.as_tensor(rows, device=self.next_B.device)
        self.cache = _fork(self.cache, rows=rows_R)
        self.mask_BS, self.next_B, self.logits_BV = self.mask_BS[rows_R], self.next_B[rows_R], self.logits_BV[rows_R]
