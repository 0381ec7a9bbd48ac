# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Rows of tokens that a causal language model has read behind one shared prefix, and that it can go on reading.

Two ways that give the same numbers: [`ExpandedRows`] works with every model; [`SharedRows`]
(`shared_prefix.py`) never copies the prefix, but needs a model with an exchangeable attention function.

Shape letters: B rows; R some of them; T new tokens of a row; S all tokens of a row, those in the cache included; M
positions of a row whose next tokens are asked for; H hidden size.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from ddg_hf.data.samplers import CPU_MAX_PADDING, length_sorted_batches
from ddg_hf.errors import UserError

from .next_tokens import NextTokens, plain_output_layer

# Tokens of a prefix that are read at once.
PREFILL_TOKENS = 512
# Tokens of rows that are read at once. A processor is as fast with these as with more, and padding costs it time.
CPU_TOKENS, GPU_TOKENS = 2048, 16384


@dataclass(frozen=True)
class Branches:
    """
    Tokens that are read behind every row at once although they do not all follow one another: those of a tree.

    Attributes:
        depths_T: Number of tokens of the tree before each token on its own path; or `[R, T]`, of a tree for each row.
        visible_TT: Whether token t sees token s of the tree: its ancestors and itself; or `[R, T, T]`.
    """

    depths_T: torch.Tensor
    visible_TT: torch.Tensor


class Rows(Protocol):
    """
    Rows that have been read up to the end of their queries.

    Attributes:
        next_B: The tokens that may follow each row.
        can_branch: Whether these are [`BranchingRows`].
    """

    next_B: NextTokens
    can_branch: bool

    def read(self, rows: Sequence[int], ids_RT: torch.Tensor, at_RM: torch.Tensor) -> NextTokens:
        """
        Reads `ids_RT` behind some rows, which stay as they are; returns what may follow the positions `at_RM`, those
        of a row one after the other. A row may be named several times.
        """

    def append(self, ids_B: torch.Tensor) -> None:
        """Reads one more token in every row; `next_B` is then what follows it."""

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only some rows."""


class BranchingRows(Rows, Protocol):
    """
    Rows behind which tokens can be read that do not all see one another.

    Attributes:
        num_kept: Number of tokens of a row that are kept, padding included.
    """

    num_kept: int

    def read(
        self, rows: Sequence[int], ids_RT: torch.Tensor, at_RM: torch.Tensor, branches: Branches | None = None
    ) -> NextTokens:
        """The same, of tokens that are a tree where there are `branches`."""

    def grow(self, ids_BT: torch.Tensor, depths_BT: torch.Tensor, seen_BTS: torch.Tensor) -> NextTokens:
        """
        Reads T tokens behind every row that do not see one another, and keeps them; returns what may follow them.

        Args:
            ids_BT: The tokens.
            depths_BT: Number of tokens between the end of the row and each of them on its own path.
            seen_BTS: Which of the `num_kept` tokens that are kept lie on its path; those of the row itself, before
                anything grew, are seen by all.
        """


@contextlib.contextmanager
def _head_only_at(model: PreTrainedModel, at_BM: torch.Tensor) -> Iterator[list[bool]]:
    """
    Applies the model's output layer at `at_BM` of each row only, for models that do something of their own with it.

    The hidden states are picked as they enter the output layer, so that whatever a model does with its logits
    afterwards (soft-capping, scaling) still happens. `logits_to_keep` would need the same positions in all rows.
    """
    done: list[bool] = []

    def pick(module, args):
        done.append(True)
        return (_pick(args[0], at_BM), *args[1:])

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
) -> NextTokens:
    """
    Reads `ids_BT` behind the cache, which grows by them; returns what may follow `at_BM`, B x M positions, those of a
    row one after the other.
    """
    inputs = {"input_ids": ids_BT, "attention_mask": mask_BS, "position_ids": positions_BT}
    inputs |= {"past_key_values": cache, "use_cache": True}
    layer = plain_output_layer(model)
    if layer is not None:
        hidden_BMH = _pick(model.base_model(**inputs).last_hidden_state, at_BM)
        return NextTokens(hidden_BMH.flatten(0, 1), layer, model.config.get_text_config(decoder=True))
    with _head_only_at(model, at_BM) as done:
        logits_BMV = model(**inputs).logits
    if not done:  # the model applies its output layer in some other way
        logits_BMV = _pick(logits_BMV, at_BM)
    return NextTokens(logits_BMV.flatten(0, 1))


def _pick(states_BTH: torch.Tensor, at_BM: torch.Tensor) -> torch.Tensor:
    """`[B, M, H]`: the states at some positions of each row."""
    index_BM1 = at_BM.to(states_BTH.device).unsqueeze(-1)
    return states_BTH.gather(1, index_BM1.expand(-1, -1, states_BTH.shape[-1]))


def prefill(model: PreTrainedModel, prefix: Sequence[int]) -> DynamicCache:
    """
    The cache of a model that has read `prefix`, piece by piece: layers with a sliding window then compare a token with
    little more than its window, and the memory does not grow with the square of the prefix.

    Raises:
        UserError: the model has read the prefix without keeping it.
    """
    cache = DynamicCache(config=model.config)
    for start in range(0, len(prefix), PREFILL_TOKENS):
        ids_1T = torch.tensor([prefix[start : start + PREFILL_TOKENS]], device=model.device)
        steps_1T = torch.arange(ids_1T.shape[1], device=model.device)[None]
        mask_1S = ids_1T.new_ones(1, start + ids_1T.shape[1])
        forward(model, cache, ids_1T, start + steps_1T, steps_1T[:, -1:], mask_1S)
        if is_plain(cache) and cache.get_seq_length() != mask_1S.shape[1]:
            raise UserError(f"{type(model).__name__} does not keep what it has read in a cache that others can use")
    return cache


def read_batches(lengths: Sequence[int], device: torch.device) -> list[list[int]]:
    """Rows that are best read at once: of similar length, and as many as the device is fast with."""
    if device.type == "cpu":
        return length_sorted_batches(lengths, CPU_TOKENS, CPU_MAX_PADDING)
    return length_sorted_batches(lengths, GPU_TOKENS)


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


def fork(cache: DynamicCache, repeats: int = 1, rows: torch.Tensor | None = None) -> DynamicCache:
    """
    Returns a cache that continues `cache` in `repeats` times as many rows, or in some `rows` of it, and leaves the
    original as it is.

    Plain layers replace their tensors when they grow, so the copy shares them and repeats the rows without memory.
    """
    if not is_plain(cache):
        copied = copy.deepcopy(cache)
        if repeats > 1:
            copied.batch_repeat_interleave(repeats)
        if rows is not None:
            copied.batch_select_indices(rows)
        return copied
    copied = copy.copy(cache)
    copied.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in copied.layers:
        if not layer.is_initialized:
            continue
        if repeats > 1:
            layer.keys = layer.keys.expand(repeats, -1, -1, -1)
            layer.values = layer.values.expand(repeats, -1, -1, -1)
        if rows is not None:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
    return copied


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
        self.positions_B = prefix_length + lengths_B
        self.cache = fork(prefilled, len(rows))
        align = continued and bool((lengths_B < longest).any())
        if align:
            _keep_whole_window(self.cache)
        positions_BT = (prefix_length + steps_T).expand_as(ids_BT)
        at_B1 = lengths_B[:, None] - 1
        self.next_B = forward(model, self.cache, ids_BT, positions_BT, at_B1, self.mask_BS)
        if align:
            _align_right(self.cache, longest - lengths_B)
            self.mask_BS = _roll(self.mask_BS[:, None, :, None], longest - lengths_B)[:, 0, :, 0]

    def read(self, rows: Sequence[int], ids_RT: torch.Tensor, at_RM: torch.Tensor) -> NextTokens:
        """See [`Rows`]."""
        rows_R = torch.as_tensor(rows, device=ids_RT.device)
        steps_T = torch.arange(ids_RT.shape[1], device=ids_RT.device)
        mask_RS = torch.cat([self.mask_BS[rows_R], torch.ones_like(ids_RT)], dim=1)
        cache = fork(self.cache, rows=None if list(rows) == list(range(len(self.next_B))) else rows_R)
        return forward(self.model, cache, ids_RT, self.positions_B[rows_R, None] + steps_T, at_RM, mask_RS)

    def append(self, ids_B: torch.Tensor) -> None:
        """See [`Rows`]."""
        ids_B1 = ids_B[:, None]
        self.mask_BS = torch.cat([self.mask_BS, torch.ones_like(ids_B1)], dim=1)
        at_B1 = torch.zeros_like(ids_B1)
        positions_B1 = self.positions_B[:, None]
        self.next_B = forward(self.model, self.cache, ids_B1, positions_B1, at_B1, self.mask_BS)
        self.positions_B = self.positions_B + 1

    def select(self, rows: Sequence[int]) -> None:
        """See [`Rows`]."""
        rows_R = torch.as_tensor(rows, device=self.positions_B.device)
        self.cache = fork(self.cache, rows=rows_R)
        self.mask_BS, self.positions_B, self.next_B = (
            of_all[rows_R] for of_all in (self.mask_BS, self.positions_B, self.next_B)
        )
