# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Prompts as token ids: one prefix shared by all queries, and what follows it in each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ddg_hf.errors import UserError

TEXTS_AT_ONCE = 32


@dataclass(frozen=True)
class EncodedPrompts:
    """
    The token ids of a batch of prompts that begin alike.

    Attributes:
        prefix: Tokens that all prompts begin with; may be empty.
        queries: The remaining tokens of each prompt, at least one.
        labels: Tokens of each label, the terminating newline included where it is scored; the same for all queries.
        terminated: Whether `labels` include the terminating newline.
    """

    prefix: list[int]
    queries: list[list[int]]
    labels: list[list[int]]
    terminated: bool

    @property
    def longest(self) -> int:
        """Length in tokens of the longest prompt with its longest label."""
        return self.longest_prompt + max(map(len, self.labels), default=0)

    @property
    def longest_prompt(self) -> int:
        """Length in tokens of the longest prompt, without a label."""
        return len(self.prefix) + max(map(len, self.queries))


def leading_special_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Returns what the tokenizer puts before a text by default: usually BOS or nothing."""
    with_special = tokenizer("a")["input_ids"]
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    for start in range(len(with_special) - len(bare) + 1):
        if with_special[start : start + len(bare)] == bare:
            return list(with_special[:start])
    return []


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], with_special_tokens: bool = False
) -> list[np.ndarray]:
    """
    Tokenises whole prompts: BOS if the tokenizer adds one, and never an EOS, which would end the prompt.

    Names of special tokens inside a text are split like any other text, unless `with_special_tokens`: then they are
    those tokens, and nothing is added, since a chat template has written all of them.
    """
    start = [] if with_special_tokens else leading_special_ids(tokenizer)
    rows = []
    # A few at a time: what the tokenizer returns takes many times the memory of the ids.
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        found = tokenizer(
            list(texts[first : first + TEXTS_AT_ONCE]),
            add_special_tokens=False,
            split_special_tokens=not with_special_tokens,
            return_attention_mask=False,
            verbose=False,
        )["input_ids"]
        rows += [np.asarray(start + list(ids), dtype=np.int64) for ids in found]
    return rows


def common_prefix_length(rows: Sequence[np.ndarray]) -> int:
    """Returns how many leading tokens are the same in all rows."""
    length = min(map(len, rows))
    for row in rows[1:]:
        different = np.flatnonzero(row[:length] != rows[0][:length])
        if different.size:
            length = int(different[0])
    return length


def _starts_with(ids: np.ndarray, start: np.ndarray) -> bool:
    return len(ids) >= len(start) and bool((ids[: len(start)] == start).all())


def _tails(
    tokenizer: PreTrainedTokenizerBase, before: Sequence[str], after: Sequence[str], special
) -> list[list[int]]:
    """Tokens that each of `after` adds when it is written behind the text of `before` in its place."""
    starts = encode(tokenizer, before, special)
    wholes = encode(tokenizer, [a + b for a, b in zip(before, after, strict=True)], special)
    for start, whole, text in zip(starts, wholes, after, strict=True):
        if not _starts_with(whole, start):
            raise UserError(
                f"the tokenizer joins {text!r} with the end of the prompt, so labels cannot be scored by likelihood; "
                "pass --scoring generate"
            )
    return [whole[len(start) :].tolist() for start, whole in zip(starts, wholes, strict=True)]


def _label_ids(
    tokenizer: PreTrainedTokenizerBase, prompt: str, continuations: Sequence[str], terminator: str, special: bool
) -> tuple[list[list[int]], bool]:
    """Tokens of each label behind `prompt`, and whether the newline had to be added; see `score_labels`."""
    labels = _tails(tokenizer, [prompt] * len(continuations), continuations, special)
    for i, ids in enumerate(labels):
        if not ids:
            raise UserError(f"the tokenizer makes no tokens of label {i} ({continuations[i]!r})")
        if ids in labels[:i]:
            twin = continuations[labels.index(ids)]
            raise UserError(f"the tokenizer makes the same tokens of labels {twin!r} and {continuations[i]!r}")
    nested = any(a is not b and b[: len(a)] == a for a in labels for b in labels)
    if nested:
        answered = [prompt + continuation for continuation in continuations]
        ends = _tails(tokenizer, answered, [terminator] * len(answered), special)
        labels = [ids + end[:1] for ids, end in zip(labels, ends, strict=True)]
        if any(a is not b and b[: len(a)] == a for a in labels for b in labels):
            raise UserError(
                "one label begins another, and what follows a label does not tell them apart; rename one of them, or "
                "pass --scoring generate"
            )
    return labels, nested


def _check_labels(
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    continuations: Sequence[str],
    labels: list[list[int]],
    special: bool,
) -> None:
    """
    The labels' tokens come from the first query. Prompts end alike, so they should be the same for all: this makes
    sure, cheaply, with one label for each query, behind the query alone.
    """
    chosen = [i % len(continuations) for i in range(len(queries))]
    starts = encode(tokenizer, queries, special)
    answered = [query + continuations[label] for query, label in zip(queries, chosen, strict=True)]
    wholes = encode(tokenizer, answered, special)
    for query, label, start, whole in zip(queries, chosen, starts, wholes, strict=True):
        if not np.array_equal(whole, np.concatenate([start, labels[label]])):
            raise UserError(
                f"the tokens of label {continuations[label]!r} depend on the query, so labels cannot be scored by "
                f"likelihood; pass --scoring generate ({query[:80]!r})"
            )


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase,
    prefix: str,
    queries: Sequence[str],
    continuations: Sequence[str] = (),
    terminator: str = "\n\n",
    with_special_tokens: bool = False,
) -> EncodedPrompts:
    """
    Tokenises prompts so that the parts, put together, are the tokens of the whole text.

    Each prompt is tokenised whole, and the shared prefix is what their tokens have in common. That is right for any
    tokenizer, also for one that joins the end of `prefix` with the beginning of a query.

    Args:
        tokenizer: Tokenizer of the model.
        prefix: Text before every query: instruction and demonstrations.
        queries: Text of each query, up to where the label has to come.
        continuations: Text of each label, such as `" positive"`.
        terminator: Text that follows a label in a prompt. Only its first token counts, and only where the tokens of
            one label begin with those of another.
        with_special_tokens: Whether names of special tokens in the texts are those tokens; see [`encode`].

    Raises:
        UserError: there is no query; or a label has no tokens, has the tokens of another one, or is joined with the
            end of the prompt by the tokenizer.
    """
    if not queries:
        raise UserError("there are no queries to evaluate")
    rows = encode(tokenizer, [prefix + query for query in queries], with_special_tokens)
    if not all(map(len, rows)):
        raise UserError("a prompt has no tokens: give demonstrations or an --instruction, or name the fields")
    shared = min(common_prefix_length(rows), min(map(len, rows)) - 1)
    labels, nested = [], False
    if continuations:
        prompt = prefix + queries[0]
        labels, nested = _label_ids(tokenizer, prompt, continuations, terminator, with_special_tokens)
        bare = [ids[:-1] for ids in labels] if nested else labels
        _check_labels(tokenizer, queries, continuations, bare, with_special_tokens)
    return EncodedPrompts(
        prefix=rows[0][:shared].tolist(),
        queries=[row[shared:].tolist() for row in rows],
        labels=labels,
        terminated=nested,
    )


def context_length(model: PreTrainedModel) -> int | None:
    """Returns how many tokens the model was built for, or `None` if its configuration does not say."""
    return getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
