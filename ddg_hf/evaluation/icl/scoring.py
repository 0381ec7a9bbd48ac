# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Scores the labels of many queries behind one prefix of demonstrations, which the model reads only once.

Shape letters: Q queries; K labels; B rows of a batch; T new tokens of a row; S all tokens of a row, those in the cache
included; N positions of a row at which logits are needed; V vocabulary.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from ddg_hf.errors import UserError

from .encoding import EncodedPrompts, context_length, encode_prompts

DEFAULT_TOKEN_BUDGET = 16384
# More rows are no faster, and each needs a row of logits as wide as the vocabulary.
MAX_ROWS = 64
Progress = Callable[[int], None]


@contextlib.contextmanager
def _head_only_at(model: PreTrainedModel, positions_BN: torch.Tensor) -> Iterator[list[bool]]:
    """
    Applies the model's output layer at `positions_BN` of each row only.

    The hidden states are picked as they enter the output layer, so that whatever a model does with its logits
    afterwards (soft-capping, scaling) still happens. `logits_to_keep` would need the same positions in all rows.
    """
    done: list[bool] = []

    def pick(module, args):
        done.append(True)
        hidden_BTH = args[0]
        index_BN1 = positions_BN.unsqueeze(-1).expand(-1, -1, hidden_BTH.shape[-1])
        return (hidden_BTH.gather(1, index_BN1), *args[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        yield done
    finally:
        handle.remove()


def _forward(
    model: PreTrainedModel,
    cache: DynamicCache,
    ids_BT: torch.Tensor,
    mask_BS: torch.Tensor,
    positions_BT: torch.Tensor,
    at_BN: torch.Tensor,
) -> torch.Tensor:
    """Reads `ids_BT` behind the cache, which grows by them; returns float32 log-probabilities [B, N, V] at `at_BN`."""
    with _head_only_at(model, at_BN) as done:
        logits = model(
            input_ids=ids_BT,
            attention_mask=mask_BS,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
        ).logits
    if not done:  # the model applies its output layer in some other way
        logits = logits.gather(1, at_BN.unsqueeze(-1).expand(-1, -1, logits.shape[-1]))
    logprobs_BNV = logits.float().log_softmax(-1)
    if logprobs_BNV.isnan().any():
        raise UserError("the model returns NaN logits; try --dtype float32 or another --attn_implementation")
    return logprobs_BNV


def _prefill(model: PreTrainedModel, prefix: Sequence[int]) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    if prefix:
        ids_1P = torch.tensor([prefix], device=model.device)
        positions_1P = torch.arange(len(prefix), device=model.device)[None]
        _forward(model, cache, ids_1P, torch.ones_like(ids_1P), positions_1P, positions_1P[:, -1:])
    return cache


def _is_plain(cache: DynamicCache) -> bool:
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers)


def _fork(cache: DynamicCache, rows: int = 1) -> DynamicCache:
    """
    Returns a cache that continues `cache` in `rows` times as many rows and leaves the original as it is.

    Plain layers replace their tensors when they grow, so the copy shares them and repeats the rows without memory.
    """
    if not _is_plain(cache):
        fork = copy.deepcopy(cache)
        if rows > 1:
            fork.batch_repeat_interleave(rows)
        return fork
    fork = copy.copy(cache)
    fork.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in fork.layers:
        if rows > 1 and layer.is_initialized:
            layer.keys = layer.keys.expand(rows, -1, -1, -1)
            layer.values = layer.values.expand(rows, -1, -1, -1)
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


def _batches(lengths: Sequence[int], fixed: int, token_budget: int, equal: bool) -> list[list[int]]:
    """
    Groups rows, longest first (so that a lack of memory shows at once), while rows x (fixed + longest) is within
    `token_budget`. With `equal`, only rows of one length share a batch. A batch has at least one row.
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches:
            longest = lengths[batches[-1][0]]
            size = len(batches[-1]) + 1
            if (
                size <= MAX_ROWS
                and size * (fixed + longest) <= token_budget
                and (not equal or lengths[row] == longest)
            ):
                batches[-1].append(row)
                continue
        batches.append([row])
    return batches


class _QueryBatch:
    """Rows that have been read up to the end of their queries, and that can be continued if `continued`."""

    def __init__(
        self,
        model: PreTrainedModel,
        prefill: DynamicCache,
        prefix_length: int,
        rows: list[list[int]],
        continued: bool,
    ):
        self.model = model
        lengths_B = torch.tensor([len(row) for row in rows], device=model.device)
        longest = int(lengths_B.max())
        # Padding is on the right, where causal attention keeps it from the tokens that count; any id will do.
        ids_BT = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=model.device)
        steps_T = torch.arange(longest, device=model.device)
        real_BT = (steps_T < lengths_B[:, None]).long()
        self.mask_BS = torch.cat([real_BT.new_ones(len(rows), prefix_length), real_BT], dim=1)
        self.next_B = prefix_length + lengths_B
        self.cache = _fork(prefill, len(rows))
        align = continued and bool((lengths_B < longest).any())
        if align:
            _keep_whole_window(self.cache)
        positions_BT = (prefix_length + steps_T).expand_as(ids_BT)
        at_B1 = lengths_B[:, None] - 1
        self.logprobs_BV = _forward(model, self.cache, ids_BT, self.mask_BS, positions_BT, at_B1)[:, 0]
        if align:
            _align_right(self.cache, longest - lengths_B)
            self.mask_BS = _roll(self.mask_BS[:, None, :, None], longest - lengths_B)[:, 0, :, 0]

    def append(self, ids_BT: torch.Tensor, fork: bool) -> torch.Tensor:
        """
        Reads the same number of tokens in every row and returns the log-probabilities [B, T, V] after each of them.
        With `fork` the batch stays as it was, else it has grown.
        """
        steps_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
        mask_BS = torch.cat([self.mask_BS, torch.ones_like(ids_BT)], dim=1)
        cache = _fork(self.cache) if fork else self.cache
        logprobs_BTV = _forward(self.model, cache, ids_BT, mask_BS, self.next_B[:, None] + steps_BT, steps_BT)
        if not fork:
            self.mask_BS, self.next_B = mask_BS, self.next_B + ids_BT.shape[1]
        return logprobs_BTV

    def score(self, label: Sequence[int]) -> torch.Tensor:
        """Returns the log-probability [B] of the tokens of `label`."""
        total_B = self.logprobs_BV[:, label[0]]
        if len(label) > 1:
            ids_BT = torch.tensor(label[:-1], device=total_B.device).expand(len(total_B), -1)
            next_T = torch.tensor(label[1:], device=total_B.device)
            logprobs_BTV = self.append(ids_BT, fork=True)
            total_B = total_B + logprobs_BTV.gather(2, next_T.expand(len(total_B), -1)[..., None]).sum((1, 2))
        return total_B


def _query_batches(
    model: PreTrainedModel, prompts: EncodedPrompts, new_tokens: int, token_budget: int
) -> Iterator[tuple[list[int], _QueryBatch]]:
    """Reads the prefix, then yields (row numbers, rows read) for all queries; `new_tokens` may follow each row."""
    longest = len(prompts.prefix) + max(map(len, prompts.queries)) + new_tokens
    limit = context_length(model)
    if limit is not None and longest > limit:
        raise UserError(f"the longest prompt has {longest} tokens, but the model's context is {limit}")
    prefill = _prefill(model, prompts.prefix)
    continued = new_tokens > 0
    equal = continued and not _is_plain(prefill)  # a recurrent state has read the padding
    lengths = [len(query) for query in prompts.queries]
    for rows in _batches(lengths, len(prompts.prefix) + new_tokens, token_budget, equal):
        texts = [prompts.queries[row] for row in rows]
        yield rows, _QueryBatch(model, prefill, len(prompts.prefix), texts, continued)


@torch.inference_mode()
def score_prompts(
    model: PreTrainedModel,
    prompts: EncodedPrompts,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> np.ndarray:
    """[`score_labels`] for prompts that are already tokenised. `progress` is told the number of queries done."""
    logprobs_QK = np.empty((len(prompts.queries), len(prompts.labels)))
    new_tokens = max(map(len, prompts.labels)) - 1
    for rows, batch in _query_batches(model, prompts, new_tokens, token_budget):
        logprobs_QK[rows] = torch.stack([batch.score(label) for label in prompts.labels], dim=1).cpu().numpy()
        if progress is not None:
            progress(len(rows))
    return logprobs_QK


def score_labels(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prefix: str,
    queries: Sequence[str],
    continuations: Sequence[str],
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    terminator: str = "\n\n",
) -> np.ndarray:
    """
    Log-probability of every label behind every query.

    A label's score is the sum over all its tokens. Where the tokens of one label begin with those of another
    (`transfer`, `transfer fee`), the longer one could never win; then the newline that ends a label is scored too, for
    *all* labels of the task.

    The prefix is read once and its keys and values are shared by all queries, which are read in batches of similar
    length. If every label is a single token, that is all; otherwise each label is read behind each batch of queries.
    Scores do not depend on the batches beyond rounding.

    Args:
        model: Causal language model in evaluation mode.
        tokenizer: Its tokenizer.
        prefix: Text before every query: instruction and demonstrations.
        queries: Text of each query, up to where the label has to come.
        continuations: Text of each label, such as `" positive"`.
        token_budget: Greatest number of tokens in the cache at once, prefix included: rows x tokens of the longest.
        terminator: Text that follows a label in the prompt; see [`~ddg_hf.evaluation.icl.encoding.encode_prompts`].

    Returns:
        Natural log-probabilities, shape [queries, labels], in the order given.

    Raises:
        UserError: see `encode_prompts`; or a prompt is longer than the model's context, or the model returns NaN.
    """
    prompts = encode_prompts(tokenizer, prefix, queries, continuations, terminator)
    return score_prompts(model, prompts, token_budget)


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    eos = getattr(model.generation_config, "eos_token_id", None)
    ids = set(eos) if isinstance(eos, (list, tuple)) else {eos}
    return (ids | {tokenizer.eos_token_id}) - {None}


@torch.inference_mode()
def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: EncodedPrompts,
    max_new_tokens: int,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> list[str]:
    """[`generate_labels`] for prompts that are already tokenised. `progress` is told the number of queries done."""
    answers = [""] * len(prompts.queries)
    end_ids = _end_ids(model, tokenizer)
    for rows, batch in _query_batches(model, prompts, max_new_tokens, token_budget):
        tokens: list[list[int]] = [[] for _ in rows]
        open_rows = set(range(len(rows)))
        next_B = batch.logprobs_BV.argmax(-1)
        for step in range(max_new_tokens):
            for i, token in enumerate(next_B.tolist()):
                if i not in open_rows:
                    continue
                if token in end_ids:
                    open_rows.discard(i)
                    continue
                tokens[i].append(token)
                answers[rows[i]] = tokenizer.decode(tokens[i], skip_special_tokens=True)
                if "\n" in answers[rows[i]]:
                    open_rows.discard(i)
            if not open_rows or step == max_new_tokens - 1:
                break
            next_B = batch.append(next_B[:, None], fork=False)[:, 0].argmax(-1)
        if progress is not None:
            progress(len(rows))
    return [answer.split("\n", 1)[0].strip() for answer in answers]


def generate_labels(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prefix: str,
    queries: Sequence[str],
    max_new_tokens: int,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
) -> list[str]:
    """
    Greedy answers to all queries, each up to the first newline or end-of-sequence token.

    The prefix is read once, as in [`score_labels`].

    Args:
        model: Causal language model in evaluation mode.
        tokenizer: Its tokenizer.
        prefix: Text before every query: instruction and demonstrations.
        queries: Text of each query, up to where the label has to come.
        max_new_tokens: Longest answer, in tokens.
        token_budget: Greatest number of tokens in the cache at once, prefix included: rows x tokens of the longest.

    Returns:
        The first line of each answer, stripped, in the order of the queries.

    Raises:
        UserError: no queries, a prompt longer than the model's context, or NaN logits.
    """
    prompts = encode_prompts(tokenizer, prefix, queries)
    return generate_answers(model, tokenizer, prompts, max_new_tokens, token_budget)
