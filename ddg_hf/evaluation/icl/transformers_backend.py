# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A causal language model of transformers, in this process."""

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ddg_hf.errors import UserError

from .backend import BestLabels, LabelScores, Progress, Prompts
from .encoding import EncodedPrompts, context_length, encode, encode_prompts
from .own_prefixes import score_groups
from .scoring import (
    DEFAULT_TOKEN_BUDGET,
    KeptPrefix,
    best_labels,
    generate_answers,
    generate_constrained,
    score_prompts,
)


class TransformersBackend:
    """
    Reads prompts with a model in this process: a [`~ddg_hf.evaluation.icl.backend.Backend`].

    Args:
        model: Causal language model; it is put in evaluation mode.
        tokenizer: Its tokenizer.
        token_budget: Greatest number of tokens in the cache at once.
        keep_prefix: Keeps what was read of the last prefix for the next call of `score`, which takes its memory.

    Raises:
        UserError: `token_budget` is less than 1.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        keep_prefix: bool = False,
    ):
        if token_budget < 1:
            raise UserError(f"--token_budget must be at least 1, got {token_budget}")
        self.model, self.tokenizer, self.token_budget = model.eval(), tokenizer, token_budget
        self.context_length = context_length(model)
        self._kept = KeptPrefix() if keep_prefix else None
        self.shares_prefix = True
        # Errors are exceptions here.
        self.failures: list[str] = []

    def _encode(self, prompts: Prompts, with_labels: bool = True) -> EncodedPrompts:
        return encode_prompts(
            self.tokenizer,
            prompts.prefix,
            prompts.queries,
            prompts.continuations if with_labels else (),
            prompts.terminator,
            prompts.with_special_tokens,
        )

    def count_tokens(self, texts: Sequence[str], with_special_tokens: bool = False) -> list[int]:
        """Number of tokens of each text as a whole prompt."""
        return [len(row) for row in encode(self.tokenizer, texts, with_special_tokens)]

    def score(self, prompts: Prompts, progress: Progress | None = None) -> LabelScores:
        """Log-probability of every label behind every prompt; see [`~ddg_hf.evaluation.icl.scoring.score_labels`]."""
        encoded = self._encode(prompts)
        lengths = [len(ids) for ids in encoded.labels]
        logprobs_QK = score_prompts(self.model, encoded, self.token_budget, progress, self._kept)
        return LabelScores(logprobs_QK, np.array(lengths))

    def score_each(self, groups: Sequence[Prompts], progress: Progress | None = None) -> list[LabelScores]:
        """[`score`] of several groups of prompts at once; see [`~ddg_hf.evaluation.icl.own_prefixes.score_groups`]."""
        encoded = [self._encode(prompts) for prompts in groups]
        scored = score_groups(self.model, encoded, self.token_budget, progress)
        return [
            LabelScores(logprobs_NK, np.array([len(ids) for ids in prompts.labels]))
            for logprobs_NK, prompts in zip(scored, encoded, strict=True)
        ]

    def best(self, prompts: Prompts, progress: Progress | None = None) -> BestLabels:
        """The most likely label of every prompt; see [`~ddg_hf.evaluation.icl.scoring.best_labels`]."""
        return best_labels(self.model, self._encode(prompts), self.token_budget, progress)

    def generate(
        self, prompts: Prompts, max_new_tokens: int, constrained: bool = False, progress: Progress | None = None
    ) -> list[str | None]:
        """The greedy answer to every prompt: its first line, stripped; with `constrained` always a label."""
        encoded = self._encode(prompts, with_labels=constrained)
        if constrained:
            labels = generate_constrained(self.model, encoded, self.token_budget, progress)
            return [prompts.continuations[label].strip() for label in labels]
        # A chat template ends an answer with a token that need not be the model's end token.
        special = prompts.with_special_tokens
        ends = encode(self.tokenizer, [prompts.terminator], special)[0][:1].tolist() if special else []
        budget = self.token_budget
        return list(generate_answers(self.model, self.tokenizer, encoded, max_new_tokens, budget, progress, ends))
