# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""In-context evaluation of a model that vLLM runs in this process."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ddg_hf.errors import UserError

from .backend import BestLabels, LabelScores, Progress, Prompts
from .encoding import EncodedPrompts, encode, encode_prompts

# Sequences handed to the engine at once: it schedules them itself, and in between progress is reported.
CHUNK = 4096


class VLLMBackend:
    """
    A causal language model in vLLM's offline engine: a [`~ddg_hf.evaluation.icl.backend.Backend`].

    Prompts are tokenised as for [`~ddg_hf.evaluation.icl.transformers_backend.TransformersBackend`]. Prefix caching is
    on, so the demonstrations are read once for all queries when answers are generated. Scoring by likelihood asks for
    the log-probabilities of the prompt (`prompt_logprobs`), for which vLLM reads every prompt anew for each label.

    It is written against vLLM's documented interface (`LLM`, `SamplingParams`) and tested against a stand-in for it:
    it has not been run with vLLM itself.

    Args:
        model: Hub id or directory.
        dtype: `float32`, `bfloat16`, `float16` or `auto`.
        revision: Branch, tag or commit of a model on the Hub.
        context_length: Greatest number of tokens of a prompt with its answer; the model's own by default.

    Attributes:
        tokenizer: The model's tokenizer.
        context_length: Greatest number of tokens of a prompt with its answer: one less than the engine's, which always
            writes one, also behind a label that is scored.
        failures: Always empty: an error is an exception.

    Raises:
        UserError: vLLM is not installed or cannot load the model.
    """

    shares_prefix = False

    def __init__(
        self, model: str, dtype: str = "float32", revision: str | None = None, context_length: int | None = None
    ):
        try:
            import vllm
        except ImportError as error:
            raise UserError("--vllm needs the vllm package: pip install 'ddg_hf[vllm]'") from error
        self._vllm = vllm
        try:
            self._engine = vllm.LLM(
                model=model,
                dtype=dtype,
                revision=revision,
                tokenizer_revision=revision,
                max_model_len=context_length,
                enable_prefix_caching=True,
                seed=0,
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"vLLM cannot load '{model}': {reason}") from error
        self.tokenizer = self._engine.get_tokenizer()
        self.context_length: int = self._engine.llm_engine.model_config.max_model_len - 1
        self.failures: list[str] = []

    def count_tokens(self, texts: Sequence[str], with_special_tokens: bool = False) -> list[int]:
        """Number of tokens of each text as a whole prompt."""
        return [len(row) for row in encode(self.tokenizer, texts, with_special_tokens)]

    def score(self, prompts: Prompts, progress: Progress | None = None) -> LabelScores:
        """
        Log-probability of every label behind every prompt; see [`~ddg_hf.evaluation.icl.scoring.score_labels`].

        Raises:
            UserError: see [`~ddg_hf.evaluation.icl.encoding.encode_prompts`]; or a prompt is longer than the context,
                or the model returns NaN.
        """
        encoded = self._encode(prompts, prompts.continuations)
        self._check_length(encoded, 0)
        params = self._vllm.SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=1, detokenize=False)
        num_labels = len(encoded.labels)
        rows = [(encoded.prefix + query + label, len(label)) for query in encoded.queries for label in encoded.labels]
        scores: list[float] = []
        for chunk in _chunks(rows, num_labels):
            for (ids, length), output in zip(chunk, self._generate([ids for ids, _ in chunk], params), strict=True):
                scores.append(_label_logprob(output, ids, length))
            _report(progress, len(chunk) // num_labels)
        logprobs_QK = np.array(scores).reshape(-1, num_labels)
        if np.isnan(logprobs_QK).any():
            raise UserError("the model returns NaN; try --dtype float32")
        lengths = [len(label) for label in encoded.labels]
        return LabelScores(logprobs_QK, np.array(lengths))

    def best(self, prompts: Prompts, progress: Progress | None = None) -> BestLabels:
        """The most likely label of every prompt. See [`score`]."""
        return BestLabels.of_scores(self.score(prompts, progress).logprobs_QK)

    def generate(
        self, prompts: Prompts, max_new_tokens: int, constrained: bool = False, progress: Progress | None = None
    ) -> list[str | None]:
        """
        The greedy answer to every prompt: its first line, stripped.

        Raises:
            UserError: `constrained` is set, or a prompt is longer than the context.
        """
        if constrained:
            raise UserError("--constrained does not work with --vllm; leave one of them out")
        encoded = self._encode(prompts, ())
        self._check_length(encoded, max_new_tokens)
        # A chat template ends an answer with a token that need not be the model's end token.
        special = prompts.with_special_tokens
        ends = encode(self.tokenizer, [prompts.terminator], special)[0][:1].tolist() if special else None
        params = self._vllm.SamplingParams(
            temperature=0.0, max_tokens=max_new_tokens, stop=["\n"], stop_token_ids=ends
        )
        rows = [encoded.prefix + query for query in encoded.queries]
        answers: list[str | None] = []
        for chunk in _chunks(rows, 1):
            texts = [output.outputs[0].text for output in self._generate(chunk, params)]
            answers += [text.split("\n", 1)[0].strip() for text in texts]
            _report(progress, len(chunk))
        return answers

    def _encode(self, prompts: Prompts, continuations: Sequence[str]) -> EncodedPrompts:
        return encode_prompts(
            self.tokenizer,
            prompts.prefix,
            prompts.queries,
            continuations,
            prompts.terminator,
            prompts.with_special_tokens,
        )

    def _check_length(self, encoded: EncodedPrompts, new_tokens: int) -> None:
        longest = encoded.longest + new_tokens
        if longest > self.context_length:
            raise UserError(f"the longest prompt has {longest} tokens, but the context is {self.context_length}")

    def _generate(self, rows: Sequence[Sequence[int]], params: Any) -> list[Any]:
        """The engine's outputs, in the order of the rows."""
        inputs = [{"prompt_token_ids": list(map(int, ids))} for ids in rows]
        return self._engine.generate(inputs, params, use_tqdm=False)


def _chunks(rows: Sequence[Any], per_query: int) -> Iterator[Sequence[Any]]:
    """Rows of whole queries, to be handed to the engine at once."""
    size = max(1, CHUNK // per_query) * per_query
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _report(progress: Progress | None, done: int) -> None:
    if progress is not None:
        progress(done)


def _label_logprob(output: Any, ids: Sequence[int], length: int) -> float:
    """Sum of the log-probabilities of the last `length` tokens of a prompt, nats."""
    positions = range(len(ids) - length, len(ids))
    return float(sum(output.prompt_logprobs[position][ids[position]].logprob for position in positions))
