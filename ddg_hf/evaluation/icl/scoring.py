# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Scores the labels of many queries behind one prefix of demonstrations, which the model reads only once.

Shape letters: Q queries; K labels; B rows of a batch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from ddg_hf.data.samplers import length_sorted_batches
from ddg_hf.errors import UserError

from .backend import BestLabels, Progress
from .encoding import EncodedPrompts, context_length, encode_prompts
from .label_trie import LabelTrie, edges_of, find_best, score_all
from .next_tokens import plain_output_layer
from .reading import ExpandedRows, Rows, is_plain, prefill
from .shared_prefix import SharedPrefix, SharedRows, can_share

DEFAULT_TOKEN_BUDGET = 16384
# Of rows with a prefix of their own; more of them are no faster.
MAX_ROWS = 64
# Tokens of rows that share their prefix and stay in memory: more rows at once make fewer passes.
SHARED_TOKENS = 8192
FEW_LABELS = 8


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


class KeptPrefix:
    """
    What a model has read of a prefix, kept for the next prompts that begin with it.

    Attributes:
        ids: Tokens of the prefix.
        cache: The model's cache behind them; `None` as long as nothing has been read.
    """

    def __init__(self):
        self.ids: list[int] = []
        self.cache: DynamicCache | None = None

    def read(self, model: PreTrainedModel, prompts: EncodedPrompts) -> tuple[DynamicCache, EncodedPrompts]:
        """The cache behind the prefix of `prompts`, and the prompts with that prefix; another prefix is read now."""
        if self.cache is not None:
            rows = [prompts.prefix + query for query in prompts.queries]
            length = len(self.ids)
            if all(len(row) > length and row[:length] == self.ids for row in rows):
                queries = [row[length:] for row in rows]
                return self.cache, EncodedPrompts(self.ids, queries, prompts.labels, prompts.terminated)
        self.ids, self.cache = prompts.prefix, prefill(model, prompts.prefix)
        return self.cache, prompts


def check_lengths(model: PreTrainedModel, prompts: EncodedPrompts, new_tokens: int) -> None:
    """
    Raises `UserError` if a prompt with `new_tokens` behind it is longer than the model's context, or so long that the
    model would read its beginning in another way than that of a short one.
    """
    longest = prompts.longest_prompt + new_tokens
    limit = context_length(model)
    if limit is not None and longest > limit:
        raise UserError(f"the longest prompt has {longest} tokens, but the model's context is {limit}")
    config = model.config.get_text_config(decoder=True)
    rope = getattr(config, "rope_parameters", None) or {}
    short = rope.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
    if rope.get("rope_type") == "longrope" and short is not None and longest > short:
        raise UserError(
            f"this model reads prompts of more than {short} tokens in another way from their beginning on, and the "
            f"longest has {longest}; pass --context_length {short}"
        )


def _read(
    model: PreTrainedModel, prompts: EncodedPrompts, new_tokens: int, token_budget: int, kept: KeptPrefix | None = None
) -> Iterator[tuple[list[int], Rows]]:
    """Reads the prefix, then yields (row numbers, rows read) for all queries; `new_tokens` may follow each row."""
    check_lengths(model, prompts, new_tokens)
    cache, prompts = (kept or KeptPrefix()).read(model, prompts)
    lengths = [len(query) for query in prompts.queries]
    # Where the queries are longer, a prefix for each row is little, and the model's own attention is faster: unless
    # there are many labels, which only shared rows read at once.
    if (len(prompts.prefix) >= max(lengths) or len(prompts.labels) > FEW_LABELS) and can_share(model):
        shared = SharedPrefix(cache, len(prompts.prefix))
        batches = length_sorted_batches([length + new_tokens for length in lengths], min(token_budget, SHARED_TOKENS))
        # Of a row either its hidden state is kept, or as many logits as the vocabulary has tokens.
        most = max(map(len, batches)) if plain_output_layer(model) is not None else MAX_ROWS
        for batch in (some[start : start + most] for some in batches for start in range(0, len(some), most)):
            yield batch, SharedRows(model, shared, [prompts.queries[row] for row in batch], new_tokens > 0)
        return
    equal = new_tokens > 0 and not is_plain(cache)  # a recurrent state has read the padding
    for batch in _batches(lengths, len(prompts.prefix) + new_tokens, token_budget, equal):
        texts = [prompts.queries[row] for row in batch]
        yield batch, ExpandedRows(model, cache, len(prompts.prefix), texts, new_tokens > 0)


@torch.inference_mode()
def _answer(
    function: Callable[[Rows, LabelTrie], np.ndarray],
    model: PreTrainedModel,
    prompts: EncodedPrompts,
    token_budget: int,
    progress: Progress | None,
    kept: KeptPrefix | None = None,
) -> np.ndarray:
    """What `function` says of all queries, in their order."""
    trie = LabelTrie(prompts.labels)
    order: list[int] = []
    answers = []
    for batch, rows in _read(model, prompts, max(map(len, prompts.labels)) - 1, token_budget, kept):
        order += batch
        answers.append(function(rows, trie))
        del rows  # before the next ones are read
        if progress is not None:
            progress(len(batch))
    return np.concatenate(answers)[np.argsort(order)]


def score_prompts(
    model: PreTrainedModel,
    prompts: EncodedPrompts,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
    kept: KeptPrefix | None = None,
) -> np.ndarray:
    """
    [`score_labels`] for prompts that are already tokenised. `progress` is told the number of queries done, and `kept`
    spares the reading of a prefix that was read the last time.
    """
    return _answer(score_all, model, prompts, token_budget, progress, kept)


def best_labels(
    model: PreTrainedModel,
    prompts: EncodedPrompts,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> BestLabels:
    """
    The label that [`score_prompts`] scores highest, found without finishing the others
    ([`~ddg_hf.evaluation.icl.label_trie.find_best`]): much faster for many labels of many tokens.
    """

    def find(rows: Rows, trie: LabelTrie) -> np.ndarray:
        return np.stack(find_best(rows, trie), axis=1)

    found_Q2 = _answer(find, model, prompts, token_budget, progress)
    return BestLabels(found_Q2[:, 0], found_Q2[:, 1].astype(bool))


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
    length. Tokens that labels begin with in common are read once for each query. Scores do not depend on the batches
    beyond rounding.

    Args:
        model: Causal language model in evaluation mode.
        tokenizer: Its tokenizer.
        prefix: Text before every query: instruction and demonstrations.
        queries: Text of each query, up to where the label has to come.
        continuations: Text of each label, such as `" positive"`.
        token_budget: Greatest number of tokens of queries and labels in the cache at once, padding included; and of
            the prefix for each row where it cannot be shared.
        terminator: Text that follows a label in the prompt; see [`~ddg_hf.evaluation.icl.encoding.encode_prompts`].

    Returns:
        Natural log-probabilities, shape [queries, labels], in the order given.

    Raises:
        UserError: see `encode_prompts`; or a prompt is longer than the model's context, or the model returns NaN.
    """
    prompts = encode_prompts(tokenizer, prefix, queries, continuations, terminator)
    return score_prompts(model, prompts, token_budget)


# Generation


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    eos = getattr(model.generation_config, "eos_token_id", None)
    ids = set(eos) if isinstance(eos, (list, tuple)) else {eos}
    return (ids | {tokenizer.eos_token_id}) - {None}


def _write_lines(rows: Rows, tokenizer: PreTrainedTokenizerBase, end_ids: set[int], max_new_tokens: int) -> list[str]:
    """Greedy text behind each row, up to a newline or end token. A row that is finished is dropped."""
    answers = [""] * len(rows.next_B)
    tokens: list[list[int]] = [[] for _ in answers]
    open_rows = list(range(len(answers)))
    for step in range(max_new_tokens):
        token_B = rows.next_B.most_likely()
        kept = []
        for i, token in enumerate(token_B.tolist()):
            row = open_rows[i]
            if token in end_ids:
                continue
            tokens[row].append(token)
            answers[row] = tokenizer.decode(tokens[row], skip_special_tokens=True)
            if "\n" not in answers[row]:
                kept.append(i)
        if not kept or step == max_new_tokens - 1:
            break
        if len(kept) < len(open_rows):
            rows.select(kept)
            open_rows, token_B = [open_rows[i] for i in kept], token_B[kept]
        rows.append(token_B)
    return [answer.split("\n", 1)[0].strip() for answer in answers]


@torch.inference_mode()
def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: EncodedPrompts,
    max_new_tokens: int,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
    end_ids: Iterable[int] = (),
) -> list[str]:
    """
    [`generate_labels`] for prompts that are already tokenised. `progress` is told the number of queries done; an
    answer also ends before one of `end_ids`.
    """
    answers = [""] * len(prompts.queries)
    end_ids = _end_ids(model, tokenizer) | set(end_ids)
    for batch, rows in _read(model, prompts, max_new_tokens, token_budget):
        for query, answer in zip(batch, _write_lines(rows, tokenizer, end_ids, max_new_tokens), strict=True):
            answers[query] = answer
        del rows
        if progress is not None:
            progress(len(batch))
    return answers


def _walk(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """The label that greedy generation writes behind each row if it may write nothing but labels."""
    found = np.full(len(rows.next_B), -1)
    nodes = dict.fromkeys(range(len(found)), 0)
    while nodes:
        at, tokens, children = edges_of(trie, enumerate(nodes.values()))
        logprobs = rows.next_B.logprobs(at, tokens).tolist()
        best: dict[int, int] = {}
        for e in sorted(range(len(at)), key=lambda e: (at[e], -logprobs[e], e)):
            best.setdefault(at[e], children[e])
        nodes = {row: best[i] for i, row in enumerate(nodes)}
        kept = [i for i, node in enumerate(nodes.values()) if node not in trie.label_at]
        for row, node in nodes.items():
            found[row] = trie.label_at.get(node, -1)
        nodes = {row: node for row, node in nodes.items() if node not in trie.label_at}
        if nodes:
            if len(kept) < len(rows.next_B):
                rows.select(kept)
            rows.append(torch.tensor([trie.tokens[node] for node in nodes.values()], device=rows.next_B.device))
    return found


def generate_constrained(
    model: PreTrainedModel,
    prompts: EncodedPrompts,
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> np.ndarray:
    """
    The label that greedy generation writes behind each query if only tokens that continue a label are allowed, `[Q]`.

    Not always the most likely label: greedy generation cannot go back to a first token that it has passed over.
    """
    return _answer(_walk, model, prompts, token_budget, progress)


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
        token_budget: As in [`score_labels`].

    Returns:
        The first line of each answer, stripped, in the order of the queries.

    Raises:
        UserError: no queries, a prompt longer than the model's context, or NaN logits.
    """
    prompts = encode_prompts(tokenizer, prefix, queries)
    return generate_answers(model, tokenizer, prompts, max_new_tokens, token_budget)
