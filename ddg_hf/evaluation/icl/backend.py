# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What an evaluation asks of a language model, wherever it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .calibration import ties

Message = dict[str, str]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Prompts:
    """
    The prompts of Q queries, as text.

    Attributes:
        prefix: Text that all prompts begin with; may be empty.
        queries: The rest of each prompt, up to where the answer has to come.
        continuations: The answer for each of K labels, as it would continue a prompt, such as `" positive"`.
        terminator: Text that follows an answer.
        messages: The same prompts as chat messages (`role`, `content`), for a backend that renders them itself; `None`
            for prompts that are plain text.
        with_special_tokens: Whether names of special tokens in `prefix`, `queries` and `terminator` are those tokens,
            as a chat template writes them. Texts of users have been made harmless. Otherwise such names are text.
    """

    prefix: str
    queries: list[str]
    continuations: list[str]
    terminator: str
    messages: list[list[Message]] | None = None
    with_special_tokens: bool = False


@dataclass(frozen=True)
class LabelScores:
    """
    Scores of K labels behind Q prompts.

    Attributes:
        logprobs_QK: Log-probability of all tokens of each label, nats. NaN in the row of a query that failed.
        label_tokens_K: Number of tokens whose log-probabilities `logprobs_QK` sums up.
    """

    logprobs_QK: np.ndarray
    label_tokens_K: np.ndarray


@dataclass(frozen=True)
class BestLabels:
    """
    The most likely of K labels behind Q prompts.

    Attributes:
        labels_Q: Label ids, of equally likely labels the lowest; -1 for a query that failed.
        ties_Q: Whether two labels are exactly as likely as each other, and the most likely ones.
    """

    labels_Q: np.ndarray
    ties_Q: np.ndarray

    @classmethod
    def of_scores(cls, logprobs_QK: np.ndarray) -> "BestLabels":
        """Those of scores `[Q, K]`, which are NaN for a query that failed."""
        failed_Q = np.isnan(logprobs_QK).any(axis=1)
        labels_Q = np.where(failed_Q[:, None], 0.0, logprobs_QK).argmax(axis=1)
        return cls(np.where(failed_Q, -1, labels_Q), ties(logprobs_QK))


class Backend(Protocol):
    """
    A language model that reads prompts.

    Attributes:
        context_length: Greatest number of tokens of a prompt with its answer; `None` if unknown.
        failures: One-line descriptions of the queries that the last call could not answer; empty where a failure is
            an exception.
        shares_prefix: Whether a prefix that several prompts have in common is read only once. Then the backend has
            `score_each(groups, progress)`, the scores of several groups of prompts, each with a prefix of its own.
    """

    context_length: int | None
    failures: list[str]
    shares_prefix: bool

    def count_tokens(self, texts: Sequence[str], with_special_tokens: bool = False) -> list[int]:
        """Number of tokens of each text as a whole prompt. A backend that cannot know them returns its best guess."""

    def score(self, prompts: Prompts, progress: Progress | None = None) -> LabelScores:
        """
        Log-probability of every label behind every prompt. Raises `UserError` if the backend cannot score.

        `progress` is called with the number of queries done, from time to time.
        """

    def best(self, prompts: Prompts, progress: Progress | None = None) -> BestLabels:
        """The most likely label of every prompt. May be faster than `score`."""

    def generate(
        self,
        prompts: Prompts,
        max_new_tokens: int,
        constrained: bool = False,
        progress: Progress | None = None,
    ) -> list[str | None]:
        """
        The greedy answer to every prompt, its first line, stripped; `None` for a query that failed.

        With `constrained` only the labels can be written: a token that begins none of the labels that are still
        possible is never chosen. Raises `UserError` if the backend cannot do that.
        """
