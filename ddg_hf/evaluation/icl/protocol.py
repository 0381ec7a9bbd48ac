# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How many rounds of demonstrations a prompt has room for."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from ddg_hf.errors import UserError

from .backend import Prompts
from .prompts import Demonstration, Texts

# Tokens of each whole prompt, prefix and query together
CountTokens = Callable[[Prompts], Sequence[int]]

_LENGTH = re.compile(r"(\d+)(k?)", re.IGNORECASE)
# The longest query alone need not make the longest prompt: the tokenizer may join it with what comes before it.
_LONGEST = 16


class Template(Protocol):
    """What writes prompts: a `PromptTemplate` or a `ChatTemplate`."""

    num_labels: int

    def prompts(self, demonstrations: Sequence[Demonstration], queries: Sequence[Texts]) -> Prompts: ...

    def prompts_each(
        self, demonstrations_Q: Sequence[Sequence[Demonstration]], queries: Sequence[Texts]
    ) -> Prompts: ...


def parse_context_length(value: str | int) -> int:
    """
    Returns a number of tokens: `4096`, or `2k` for 2 x 1024.

    Raises:
        UserError: it is not such a number, or less than 1.
    """
    match = _LENGTH.fullmatch(str(value).strip())
    tokens = int(match[1]) * (1024 if match[2] else 1) if match else 0
    if tokens < 1:
        raise UserError(f"--context_length must be a number of tokens such as 4096 or 4k, got '{value}'")
    return tokens


def num_rounds(demonstrations: Sequence[Demonstration], num_labels: int) -> int:
    """Returns the number of rounds that N demonstrations are: N / num_labels, rounded up."""
    return -(-len(demonstrations) // num_labels)


def keep_rounds(
    demonstrations: Sequence[Demonstration], rounds: int, num_labels: int, retrieved: bool = False
) -> list[Demonstration]:
    """
    Returns the demonstrations of `rounds` rounds, in the order in which they were.

    Where all labels have as many rows, whether their rows alternate or stand together, these are the first `rounds`
    rows of each. Where they have not, a round is the next `num_labels` rows. Of retrieved rows, which begin with the
    least similar, the last ones are kept.

    Args:
        demonstrations: Pairs (texts, label id) in the order of the prompt.
        rounds: Number of rounds to keep.
        num_labels: Number of classes.
        retrieved: Whether the rows were retrieved for the query, most similar last.
    """
    demonstrations = list(demonstrations)
    size = rounds * num_labels
    if retrieved:
        return demonstrations[max(len(demonstrations) - size, 0) :]
    counts = Counter(label for _, label in demonstrations)
    if len(counts) < num_labels or len(set(counts.values())) > 1:
        return demonstrations[:size]
    seen: Counter[int] = Counter()
    kept = []
    for texts, label in demonstrations:
        seen[label] += 1
        if seen[label] <= rounds:
            kept.append((texts, label))
    return kept


def fitting_rounds(
    count_tokens: CountTokens,
    template: Template,
    demonstrations: Sequence[Demonstration],
    queries: Sequence[Texts],
    limit: int,
    extra: int,
    retrieved: bool = False,
) -> int:
    """
    Returns how many rounds of the demonstrations leave room for every query and its answer.

    Args:
        count_tokens: Returns the number of tokens of each prompt, prefix included.
        template: Writes the prompts.
        demonstrations: Pairs (texts, label id) in the order of the prompt.
        queries: Texts of the queries.
        limit: Greatest number of tokens of a prompt with its answer.
        extra: Tokens of the longest answer.
        retrieved: See [`keep_rounds`].

    Returns:
        Between 0 (not even one round fits) and all rounds there are.

    Raises:
        UserError: a query does not fit without any demonstration.
    """
    alone = count_tokens(template.prompts([], queries))
    _check_queries(alone, limit, extra)
    longest = sorted(range(len(queries)), key=lambda i: -alone[i])[:_LONGEST]
    chosen = [queries[i] for i in longest]

    def fits(rounds: int) -> bool:
        kept = keep_rounds(demonstrations, rounds, template.num_labels, retrieved)
        return max(count_tokens(template.prompts(kept, chosen)), default=0) + extra <= limit

    return _greatest(num_rounds(demonstrations, template.num_labels), fits)


def fitting_rounds_each(
    count_tokens: CountTokens,
    template: Template,
    demonstrations_Q: Sequence[Sequence[Demonstration]],
    queries: Sequence[Texts],
    limit: int,
    extra: int,
) -> int:
    """
    As [`fitting_rounds`] for demonstrations that were retrieved for each query: one number of rounds for all queries,
    so that they stay comparable.
    """
    _check_queries(count_tokens(template.prompts([], queries)), limit, extra)
    pairs = list(zip(demonstrations_Q, queries, strict=True))
    everything = max((num_rounds(demonstrations, template.num_labels) for demonstrations, _ in pairs), default=0)

    def too_long(rounds: int) -> list[int]:
        kept = [keep_rounds(rows, rounds, template.num_labels, retrieved=True) for rows, _ in pairs]
        lengths = count_tokens(template.prompts_each(kept, [query for _, query in pairs]))
        return [i for i, length in enumerate(lengths) if length + extra > limit]

    # a prompt that fits with all its demonstrations fits with fewer
    pairs = [pairs[i] for i in too_long(everything)]
    return _greatest(everything - 1, lambda rounds: not too_long(rounds)) if pairs else everything


def _check_queries(lengths: Sequence[int], limit: int, extra: int) -> None:
    too_long = sum(length + extra > limit for length in lengths)
    if too_long:
        raise UserError(
            f"{too_long} queries do not fit into {limit} tokens even without demonstrations: the longest takes "
            f"{max(lengths) + extra} with its answer; shorten the texts or use a model with a longer context"
        )


def _greatest(highest: int, fits: Callable[[int], bool]) -> int:
    """Returns the greatest number from 0 to `highest` that fits, if 0 does and fewer fit whenever more do."""
    if highest == 0 or fits(highest):
        return highest
    low, high = 0, highest  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low
