# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Evaluates demonstrations in the prompt of a language model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError

from .calibration import batch_calibrate
from .encoding import context_length, encode, encode_prompts, leading_special_ids
from .prompts import Demonstration, PromptTemplate, Texts
from .scoring import DEFAULT_TOKEN_BUDGET, Progress, generate_answers, score_prompts

SCORINGS = ("likelihood", "generate")


@dataclass(frozen=True)
class ICLPrediction:
    """
    What a model answers to Q queries behind one list of demonstrations.

    Attributes:
        predictions_Q: Predicted label ids; -1 for an answer that names no label.
        calibrated_predictions_Q: The same after batch calibration; `None` for `generate`.
        logprobs_QK: Log-probabilities of the labels in nats, as the model gives them; `None` for `generate`.
        answers: What the model wrote; `None` for `likelihood`.
        num_unparsable: Number of answers that name no label.
        seconds: Time taken.
        prefix_tokens: Tokens before the queries, which were read once.
    """

    predictions_Q: np.ndarray
    calibrated_predictions_Q: np.ndarray | None
    logprobs_QK: np.ndarray | None
    answers: list[str] | None
    num_unparsable: int
    seconds: float
    prefix_tokens: int


class ICLEvaluator:
    """
    Classifies queries with a causal language model that is shown demonstrations.

    Args:
        model: Causal language model; it is put in evaluation mode.
        tokenizer: Its tokenizer.
        spec: The task: fields, label words and instruction.
        scoring: `likelihood` compares the probabilities of the label words. `generate` lets the model write and
            compares the first line of the answer with the label words; any other answer is wrong.
        token_budget: Greatest number of tokens in the cache at once; see
            [`~ddg_hf.evaluation.icl.scoring.score_labels`].
        template: How prompts are written; from `spec` by default.

    Example:

    ```python
    >>> evaluator = ICLEvaluator(model, tokenizer, get_task("sst2"))
    >>> result = evaluator.evaluate([(("a gripping film",), 1), (("dull",), 0)], [("a waste of time",)])
    >>> result.predictions_Q
    array([0])
    ```
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        spec: TaskSpec,
        scoring: str = "likelihood",
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        template: PromptTemplate | None = None,
    ):
        if scoring not in SCORINGS:
            raise UserError(f"unknown scoring '{scoring}'; use {' or '.join(SCORINGS)}")
        if token_budget < 1:
            raise UserError(f"token_budget must be at least 1, got {token_budget}")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.spec = spec
        self.scoring = scoring
        self.token_budget = token_budget
        self.template = template or PromptTemplate.from_task(spec)

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
            UserError: no queries, a label id that does not exist, a prompt longer than the model's context, or NaN.
        """
        start = time.perf_counter()
        prefix = self.template.prefix(demonstrations)
        texts = [self.template.query(query) for query in queries]
        label_texts = self.template.continuations() if self.scoring == "likelihood" else ()
        prompts = encode_prompts(self.tokenizer, prefix, texts, label_texts, self.template.terminator)
        answer_tokens = self._answer_tokens(texts[0])
        prompt_tokens = len(prompts.prefix) + max(map(len, prompts.queries))
        self._check_length(demonstrations, prompt_tokens + answer_tokens)
        logprobs_QK = calibrated_Q = answers = None
        if self.scoring == "likelihood":
            logprobs_QK = score_prompts(self.model, prompts, self.token_budget, progress)
            predictions_Q = logprobs_QK.argmax(axis=1)
            calibrated_Q = batch_calibrate(logprobs_QK).argmax(axis=1)
        else:
            answers = generate_answers(self.model, self.tokenizer, prompts, answer_tokens, self.token_budget, progress)
            predictions_Q = np.array([self.template.parse(answer) for answer in answers])
        return ICLPrediction(
            predictions_Q=predictions_Q,
            calibrated_predictions_Q=calibrated_Q,
            logprobs_QK=logprobs_QK,
            answers=answers,
            num_unparsable=int((predictions_Q == -1).sum()),
            seconds=time.perf_counter() - start,
            prefix_tokens=len(prompts.prefix),
        )

    def check_context(self, demonstrations: Sequence[Demonstration], queries: Sequence[Texts]) -> None:
        """
        Raises `UserError` if the prompts would not fit the model's context, without running the model; the message
        says how many rounds fit. [`evaluate`] does the same: this is for knowing before a long series begins.
        """
        texts = [self.template.query(query) for query in queries]
        query_tokens = max(map(len, encode(self.tokenizer, texts))) - len(leading_special_ids(self.tokenizer))
        self._check_length(
            demonstrations, self._prefix_tokens(demonstrations) + query_tokens + self._answer_tokens(texts[0])
        )

    def _prefix_tokens(self, demonstrations: Sequence[Demonstration]) -> int:
        return len(encode(self.tokenizer, [self.template.prefix(demonstrations)])[0])

    def _answer_tokens(self, query: str) -> int:
        """
        Tokens that may follow a query: the longest label and, when it is generated, two more, so that a longer answer
        is not cut down to a label.
        """
        rows = encode(self.tokenizer, [query, *(query + label for label in self.template.continuations())])
        return max(len(row) - len(rows[0]) for row in rows[1:]) + (2 if self.scoring == "generate" else 0)

    def _check_length(self, demonstrations: Sequence[Demonstration], longest: int) -> None:
        limit = context_length(self.model)
        if limit is None or longest <= limit:
            return
        # what the queries and labels need beyond the prefix stays the same with fewer demonstrations
        rest = longest - self._prefix_tokens(demonstrations)
        num_labels = self.template.num_labels
        fitting = 0
        for rounds in range(1, len(demonstrations) // num_labels + 1):
            if self._prefix_tokens(demonstrations[: rounds * num_labels]) + rest > limit:
                break
            fitting = rounds
        advice = f"{fitting} rounds fit, pass --rounds {fitting}" if fitting else "not even one round fits"
        raise UserError(f"the longest prompt has {longest} tokens, but the model's context is {limit}; {advice}")
