# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Evaluates demonstrations in the prompt of a language model.

Shape letters: Q queries; K labels.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ddg_hf.errors import UserError
from ddg_hf.evaluation.results import UNPARSABLE

from .backend import Backend, LabelScores, Progress, Prompts
from .calibration import log_normalize, ties
from .chat import ChatTemplate
from .prompts import Demonstration, PromptTemplate, Texts, warn_empty_queries
from .protocol import fitting_rounds, fitting_rounds_each, keep_rounds, num_rounds

SCORINGS = ("likelihood", "argmax", "generate")
# Queries that say nothing, for contextual calibration (Zhao et al. 2021, section 5).
CONTENT_FREE = ("N/A", "[MASK]", "")


@dataclass(frozen=True)
class ICLPrediction:
    """
    What a model answers to Q queries.

    Attributes:
        predictions_Q: Predicted label ids; -1 for an answer that names no label, and for a query that failed.
        logprobs_QK: Log-probabilities of the labels in nats, as the model gives them; `None` unless the scoring is
            `likelihood`. NaN where a query failed.
        label_tokens_K: Number of tokens of each label that were scored; `None` unless the scoring is `likelihood`.
        contextual_logprobs_K: Log of the mean probability of each label, among the labels, behind queries without
            content; `[Q, K]` if each query has demonstrations of its own. `None` unless the scoring is `likelihood`,
            and for demonstrations of its own unless the backend shares what it has read.
        answers: What the model wrote; `None` unless the scoring is `generate`.
        num_unparsable: Number of answers that name no label.
        num_ties: Number of queries whose two best labels have exactly the same score.
        failed_Q: Whether each query failed.
        seconds: Time taken.
        prefix_tokens: Tokens before the queries: the mean, where each query has demonstrations of its own.
        rounds: Demonstrations per label that were shown.
        dropped_rounds: How many fewer these are than were given.
        failures: A line for each kind of failure.
    """

    predictions_Q: np.ndarray
    logprobs_QK: np.ndarray | None
    label_tokens_K: np.ndarray | None
    contextual_logprobs_K: np.ndarray | None
    answers: list[str | None] | None
    num_unparsable: int
    num_ties: int
    failed_Q: np.ndarray
    seconds: float
    prefix_tokens: float
    rounds: int
    dropped_rounds: int
    failures: tuple[str, ...] = ()


class ICLEvaluator:
    """
    Classifies queries with a language model that is shown demonstrations.

    Args:
        backend: The language model.
        template: How prompts are written.
        scoring: `likelihood` compares the probabilities of the label words; `argmax` finds the most likely one without
            those of the others, which is faster where there are many; `generate` lets the model write and compares the
            first line of the answer with the label words: any other answer is wrong.
        constrained: With `generate`, lets the model write nothing but label words.
        context_length: Greatest number of tokens of a prompt with its answer; the model's own by default.
        drop_rounds: Shows fewer rounds of demonstrations where not all fit; otherwise that is an error.
        contextual: Whether queries without content are scored too, for contextual calibration.

    Example:

    ```python
    >>> from ddg_hf.data.tasks import get_task
    >>> from ddg_hf.evaluation.icl import ICLEvaluator, PromptTemplate, TransformersBackend

    >>> evaluator = ICLEvaluator(TransformersBackend(model, tokenizer), PromptTemplate.from_task(get_task("sst2")))
    >>> result = evaluator.evaluate([(("a gripping film",), 1), (("dull",), 0)], [("a waste of time",)])
    >>> result.predictions_Q
    array([0])
    ```
    """

    def __init__(
        self,
        backend: Backend,
        template: PromptTemplate | ChatTemplate,
        scoring: str = "likelihood",
        constrained: bool = False,
        context_length: int | None = None,
        drop_rounds: bool = False,
        contextual: bool = True,
    ):
        if scoring not in SCORINGS:
            raise UserError(f"unknown scoring '{scoring}'; use {', '.join(SCORINGS)}")
        self.backend, self.template, self.scoring, self.constrained = backend, template, scoring, constrained
        limits = [limit for limit in (context_length, backend.context_length) if limit is not None]
        self.limit = min(limits, default=None)
        by_user = context_length is not None and context_length == self.limit
        self._limit_name = "--context_length" if by_user else "the model's context"
        self.drop_rounds, self.contextual = drop_rounds, contextual

    # ---- evaluation ----

    def evaluate(
        self,
        demonstrations: Sequence[Demonstration],
        queries: Sequence[Texts],
        progress: Progress | None = None,
    ) -> ICLPrediction:
        """
        Predicts the label of every query behind the same demonstrations.

        Args:
            demonstrations: Pairs (texts, label id) in the order in which the prompt shows them; none for zero-shot.
            queries: The texts of each query.
            progress: Called with the number of queries done, from time to time.

        Raises:
            UserError: no queries, a label id that does not exist, a prompt longer than the context, or NaN.
        """
        self._check_queries(queries)
        start = time.perf_counter()
        given = num_rounds(demonstrations, self.template.num_labels)
        shown = self.shown(demonstrations, queries)
        prompts = self.template.prompts(shown, [*queries, *self._content_free(queries)])
        prefix_tokens = self._count(Prompts(prompts.prefix, [""], [], "", None, prompts.with_special_tokens))[0]
        rounds = num_rounds(shown, self.template.num_labels)
        return self._answer(prompts, len(queries), start, progress, prefix_tokens, rounds, given - rounds)

    def _content_free(self, queries: Sequence[Texts]) -> list[Texts]:
        """The queries without content that are scored as well."""
        if not self.contextual or self.scoring != "likelihood":
            return []
        return [(text,) * len(queries[0]) for text in CONTENT_FREE]

    def evaluate_each(
        self,
        demonstrations: Sequence[Sequence[Demonstration]],
        queries: Sequence[Texts],
        progress: Progress | None = None,
    ) -> ICLPrediction:
        """
        Predicts the label of every query behind demonstrations of its own, such as retrieved ones.

        The arguments are those of [`evaluate`], with a list of demonstrations for each query.
        """
        self._check_queries(queries)
        start = time.perf_counter()
        num_labels = self.template.num_labels
        given = max(num_rounds(some, num_labels) for some in demonstrations)
        shown = self.shown_each(demonstrations, queries)
        prompts = self.template.prompts_each(shown, queries)
        rounds = max(num_rounds(some, num_labels) for some in shown)
        alone = self.template.prompts([], queries)
        # Of the query itself: what is left is the prefix, with the instruction.
        (head,) = self._count(Prompts(alone.prefix, [""], [], "", None, alone.with_special_tokens))
        tokens = float(np.mean(np.subtract(self._count(prompts), self._count(alone)))) + head
        scored = None
        if self.backend.shares_prefix and self._content_free(queries):
            scored = self._score_each(shown, queries, progress)
        return self._answer(prompts, len(queries), start, progress, tokens, rounds, given - rounds, scored)

    def _score_each(
        self, shown: Sequence[Sequence[Demonstration]], queries: Sequence[Texts], progress: Progress | None
    ) -> tuple[LabelScores, np.ndarray]:
        """Scores each query, and the queries without content, behind its own demonstrations, which are read once."""
        found = self.backend.score_each(
            [
                self.template.prompts(demonstrations, [query, *self._content_free(queries)])
                for demonstrations, query in zip(shown, queries, strict=True)
            ],
            progress,
        )
        logprobs_QK = np.stack([scores.logprobs_QK[0] for scores in found])
        contextual_QK = np.stack([_mean_logprobs(scores.logprobs_QK[1:]) for scores in found])
        return LabelScores(logprobs_QK, found[0].label_tokens_K), contextual_QK

    def _check_queries(self, queries: Sequence[Texts]) -> None:
        if not queries:
            raise UserError("there are no queries to evaluate")
        warn_empty_queries(queries)

    def _answer(
        self,
        prompts: Prompts,
        num_queries: int,
        start: float,
        progress: Progress | None,
        prefix_tokens: float,
        rounds: int,
        dropped: int,
        scored: tuple[LabelScores, np.ndarray] | None = None,
    ) -> ICLPrediction:
        scores: LabelScores | None = None
        answers = contextual_K = None
        num_ties = 0
        if self.scoring == "likelihood":
            if scored is not None:
                scores, contextual_K = scored
            else:
                scores = self.backend.score(prompts, _at_most(num_queries, progress))
            logprobs_QK = scores.logprobs_QK[:num_queries]
            failed_Q = np.isnan(logprobs_QK).any(axis=1)
            predictions_Q = np.where(failed_Q, UNPARSABLE, np.nan_to_num(logprobs_QK, nan=-np.inf).argmax(axis=1))
            num_ties = int(ties(logprobs_QK).sum())
            content_free = scores.logprobs_QK[num_queries:]
            if len(content_free) and not np.isnan(content_free).any():
                contextual_K = _mean_logprobs(content_free)
        elif self.scoring == "argmax":
            best = self.backend.best(prompts, progress)
            predictions_Q, num_ties = best.labels_Q, int(best.ties_Q.sum())
            failed_Q = predictions_Q == UNPARSABLE
        else:
            answers = self.backend.generate(prompts, self._answer_tokens(prompts), self.constrained, progress)
            failed_Q = np.array([answer is None for answer in answers])
            predictions_Q = np.array([UNPARSABLE if a is None else self.template.parse(a) for a in answers])
        return ICLPrediction(
            predictions_Q=predictions_Q,
            logprobs_QK=None if scores is None else scores.logprobs_QK[:num_queries],
            label_tokens_K=None if scores is None else scores.label_tokens_K,
            contextual_logprobs_K=contextual_K,
            answers=answers,
            num_unparsable=int(((predictions_Q == UNPARSABLE) & ~failed_Q).sum()),
            num_ties=num_ties,
            failed_Q=failed_Q,
            seconds=time.perf_counter() - start,
            prefix_tokens=prefix_tokens,
            rounds=rounds,
            dropped_rounds=dropped,
            failures=tuple(self.backend.failures),
        )

    # ---- length ----

    def shown(self, demonstrations: Sequence[Demonstration], queries: Sequence[Texts]) -> list[Demonstration]:
        """
        The demonstrations that [`evaluate`] shows: all of them, or with `drop_rounds` as many whole rounds as fit.

        Raises:
            UserError: they do not fit and rounds are not to be dropped, or not even one round fits.
        """
        return self._fit(demonstrations, queries, self.template.prompts, fitting_rounds, False)

    def shown_each(
        self, demonstrations: Sequence[Sequence[Demonstration]], queries: Sequence[Texts]
    ) -> list[list[Demonstration]]:
        """The same for demonstrations of each query's own; all queries are shown the same number of rounds."""
        return self._fit(demonstrations, queries, self.template.prompts_each, fitting_rounds_each, True)

    def _fit(self, demonstrations, queries, write: Callable, fitting: Callable, each: bool) -> list:
        if self.limit is None:
            return list(demonstrations)
        prompts = write(demonstrations, queries)
        extra = self._answer_tokens(prompts)
        longest = max(self._count(prompts)) + extra
        if longest <= self.limit:
            return list(demonstrations)
        rounds = fitting(self._count, self.template, demonstrations, queries, self.limit, extra)
        some = any(map(len, demonstrations)) if each else bool(demonstrations)
        if self.drop_rounds and (rounds or not some):
            labels = self.template.num_labels
            if each:
                return [keep_rounds(own, rounds, labels, retrieved=True) for own in demonstrations]
            return keep_rounds(demonstrations, rounds, labels)
        fit = "1 round fits" if rounds == 1 else f"{rounds} rounds fit"
        advice = f"{fit}, pass --rounds {rounds} or --truncate_demonstrations" if rounds else "not even one round fits"
        raise UserError(f"the longest prompt has {longest} tokens, but {self._limit_name} is {self.limit}; {advice}")

    def _count(self, prompts: Prompts) -> list[int]:
        """Tokens of each prompt, give or take one where the prefix ends; the engine counts exactly."""
        nothing, prefix, *queries = self.backend.count_tokens(
            ["", prompts.prefix, *prompts.queries], prompts.with_special_tokens
        )
        return [prefix + query - nothing for query in queries]

    def _answer_tokens(self, prompts: Prompts) -> int:
        """
        Tokens that may follow a query: the longest label with its terminator and, when it is generated, another one,
        so that a longer answer is not cut down to a label.
        """
        query = prompts.queries[0]
        texts = [query, *(query + label for label in prompts.continuations)]
        counts = self.backend.count_tokens(texts, prompts.with_special_tokens)
        return max(counts) - counts[0] + (2 if self.scoring == "generate" else 1)


def _at_most(number: int, progress: Progress | None) -> Progress | None:
    """Passes on no more than `number` queries: content-free ones are not the user's."""
    if progress is None:
        return None
    left = number

    def report(done: int) -> None:
        nonlocal left
        progress(min(done, left))
        left -= min(done, left)

    return report


def _mean_logprobs(logprobs_QK: np.ndarray) -> np.ndarray:
    """Log of the mean probability of each label among the labels, `[K]`."""
    return log_normalize(np.logaddexp.reduce(log_normalize(logprobs_QK), axis=0)[None])[0]
