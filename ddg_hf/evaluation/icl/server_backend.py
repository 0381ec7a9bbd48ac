# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""In-context evaluation of a model behind an OpenAI-compatible server."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddg_hf.errors import UserError

from .backend import BestLabels, LabelScores, Progress, Prompts
from .server_client import Failure, Request, ServerClient

# Any text does for finding out what a server returns. More than one, because a model may end a text at once.
PROBES = ("The capital of France is", "One, two, three, four,", "Review: a good film\nSentiment:")
# Rounding, in nats: a token that was generated and the same token as part of a prompt are not computed alike.
PROBE_TOLERANCE = 0.5


@dataclass(frozen=True)
class _Echo:
    """A prompt as the server read it, and the one token it wrote: tokens as text, log-probabilities in nats."""

    text: str
    tokens: list[str]
    logprobs: list[float | None]
    prompt_tokens: int


@dataclass(frozen=True)
class _Labels:
    """Tokens of each label and of what follows it; the first token of that is scored if `terminated`."""

    tokens: list[list[str]]
    ends: list[list[str]]

    @property
    def terminated(self) -> bool:
        return bool(self.ends[0])


class ServerBackend:
    """
    A model behind an OpenAI-compatible server: `transformers serve`, vLLM, a hosted one.

    Prompts of plain text go to `/completions`, chat prompts to `/chat/completions`, where the server writes them with
    its own chat template. Answers are greedy (temperature 0).

    Labels are scored by likelihood only where the server proves that it returns the log-probabilities of a prompt's
    tokens. It is asked once to repeat a short prompt (`echo`), with `logprobs`, and to write one token; then to read
    what came of it. The tokens, their number and their log-probabilities must be there and agree, that of the token it
    wrote included. `transformers serve` does not return them; vLLM does.

    What the server does with the text cannot be seen: names of special tokens in a query may become those tokens, and
    sampling defaults of the model that the protocol has no field for stay in force (start vLLM with
    `--generation-config vllm`; `transformers serve` obeys the `frequency_penalty` of 0 that is sent). A model that
    thinks before it answers has to be served with thinking off (`transformers serve --reasoning off`).

    A query that stays without answer after all attempts is `None`, -1 or a row of NaN, with a line in `failures`.

    Args:
        base_url: Address of the API, such as `http://localhost:8000/v1`.
        model: Name by which the server knows the model.
        api_key: Key of the API; from the environment variable `OPENAI_API_KEY` by default, and none is needed. It is
            sent to the server and appears nowhere else.
        concurrency: Greatest number of requests at once.
        max_retries: Attempts after the first one, with growing pauses or the server's own `Retry-After`.
        timeout: Seconds that one attempt may take.
        journal: File that keeps the answers as they come (JSON lines, hashes instead of prompts). What is in it is not
            asked again, so a run that was stopped goes on where it was. Failures are not kept.

    Attributes:
        context_length: `None`: a server does not say. A prompt that it finds too long is a `UserError`.
        failures: One line for each query that the last call could not answer.

    Raises:
        UserError: an argument is unusable, or the `openai` package is not installed. Every method raises it if the
            server cannot be reached at all, refuses the key, has no such endpoint or model, or finds the first request
            wrong or a prompt too long.
    """

    context_length: int | None = None
    shares_prefix = False

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        concurrency: int = 8,
        max_retries: int = 5,
        timeout: float = 60.0,
        journal: str | Path | None = None,
    ):
        self.client = ServerClient(base_url, model, api_key, concurrency, max_retries, timeout, journal)
        self.failures: list[str] = []
        self._proven = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.client.base_url!r}, model={self.client.model!r})"

    def count_tokens(self, texts: Sequence[str], with_special_tokens: bool = False) -> list[int]:
        """A guess that is rather too high: a third of the number of bytes. The server's tokenizer is not known."""
        return [math.ceil(len(_clean(text).encode()) / 3) for text in texts]

    def generate(
        self,
        prompts: Prompts,
        max_new_tokens: int,
        constrained: bool = False,
        progress: Progress | None = None,
    ) -> list[str | None]:
        """
        The greedy answer to every prompt, its first line, stripped; `None` for a query that failed.

        Since tokens can only be guessed, an answer may have more than `max_new_tokens`: half the bytes of the longest
        label, so that none is cut.

        Raises:
            UserError: `constrained` is set; or see [`ServerBackend`].
        """
        if constrained:
            raise UserError("a server cannot be held to the labels; leave --constrained out")
        longest = max((len(label.encode()) for label in prompts.continuations), default=0)
        options = {"max_tokens": max(max_new_tokens, math.ceil(longest / 2) + 2)}
        # 0 is the default; a server that takes the model's own generation settings for its defaults needs to be told.
        options |= {"temperature": 0.0, "frequency_penalty": 0.0}
        if prompts.messages is not None:
            bodies = [{"messages": _clean_messages(messages)} for messages in prompts.messages]
            requests = [Request("chat/completions", body | options, _chat_answer) for body in bodies]
        else:
            options["stop"] = ["\n"]
            bodies = [{"prompt": text} for text in _texts(prompts)]
            requests = [Request("completions", body | options, _plain_answer) for body in bodies]
        answers = self.client.ask(requests, None if progress is None else lambda _: progress(1))
        self.failures = [f"query {i}: {a.message}" for i, a in enumerate(answers) if isinstance(a, Failure)]
        return [None if isinstance(answer, Failure) else answer for answer in answers]

    def best(self, prompts: Prompts, progress: Progress | None = None) -> BestLabels:
        """The most likely label of every prompt. See [`score`]."""
        return BestLabels.of_scores(self.score(prompts, progress).logprobs_QK)

    def score(self, prompts: Prompts, progress: Progress | None = None) -> LabelScores:
        """
        Log-probability of every label behind every prompt, one request for each.

        A label's tokens are those that a text has more with it than without, as the server reports them behind the
        first query. Where those of one label begin with those of another, the first token of the terminator is scored
        too, for all labels, as in [`~ddg_hf.evaluation.icl.scoring.score_labels`].

        Raises:
            UserError: the prompts are chat messages; the server does not prove that it returns log-probabilities of
                the prompt; a label has no tokens of its own; or see [`ServerBackend`].
        """
        if prompts.messages is not None:
            raise UserError("a server does not score labels behind chat messages; pass --scoring generate")
        shape = (len(prompts.queries), len(prompts.continuations))
        labels = self._labels(prompts)
        if isinstance(labels, Failure):
            self.failures = [f"query {i}: {labels.message}" for i in range(shape[0])]
            return LabelScores(np.full(shape, np.nan), np.zeros(shape[1], dtype=np.int64))
        requests = [
            _label_request(text, continuation, prompts.terminator, labels, k)
            for text in _texts(prompts)
            for k, continuation in enumerate(map(_clean, prompts.continuations))
        ]
        self._prove(requests)
        answers = self.client.ask(requests, _by_query(shape[1], shape[0], progress))
        rows = [answers[i : i + shape[1]] for i in range(0, len(answers), shape[1])]
        logprobs_QK = np.full(shape, np.nan)
        self.failures = []
        for i, row in enumerate(rows):
            failure = next((answer for answer in row if isinstance(answer, Failure)), None)
            if failure is not None:
                self.failures.append(f"query {i}: {failure.message}")
                continue
            # the tokens before the label are the same whichever label follows
            if any(before is None or before != row[0][1] for _, before in row):
                raise UserError(
                    "the tokens of the labels depend on the query, so labels cannot be scored by likelihood; pass "
                    f"--scoring generate ({prompts.queries[i][:80]!r})"
                )
            logprobs_QK[i] = [logprob for logprob, _ in row]
        return LabelScores(logprobs_QK, np.array([len(tokens) + labels.terminated for tokens in labels.tokens]))

    def _prove(self, requests: Sequence[Request]) -> None:
        """Raises `UserError` unless the server returns log-probabilities of prompts. Asked once, when needed."""
        if self._proven or not self.client.missing(requests):
            return
        refusal = f"the server at {self.client.base_url} returns no prompt log-probabilities, pass --scoring generate"
        for text in PROBES:
            first = self._probe(text)
            if first is None:
                raise UserError(refusal)
            second = self._probe(first.text)
            if second is None:
                raise UserError(refusal)
            size = first.prompt_tokens + 1
            written = first.logprobs[first.prompt_tokens : size]
            if second.prompt_tokens != size or second.tokens[:size] != first.tokens[:size] or None in written:
                continue  # what was written is not read as the same token: it shows nothing
            gap = max(abs(a - b) for a, b in zip(first.logprobs[1:size], second.logprobs[1:size], strict=True))
            if gap > PROBE_TOLERANCE:
                raise UserError(f"{refusal} (the same tokens had others, by up to {gap:.2f} nat)")
            self._proven = True
            return
        raise UserError(refusal)

    def _probe(self, text: str) -> _Echo | None:
        """The echo of a text; `None` if the server sends none. An echo is never taken from the journal."""

        def read(answer: Any) -> _Echo | None:
            answer["choices"][0]["text"]  # not even a completion: worth asking again
            try:
                return _read_echo(answer, text)
            except (ValueError, LookupError, TypeError):
                return None

        echo = self.client.ask_once(_echo_request(text, read))
        if isinstance(echo, Failure):
            raise UserError(f"the server could not be asked whether it returns log-probabilities: {echo.message}")
        return echo

    def _labels(self, prompts: Prompts) -> _Labels | Failure:
        """The tokens of the labels behind the first query, or why the server does not say."""
        query, terminator = _clean(prompts.queries[0]), _clean(prompts.terminator)
        continuations = [_clean(continuation) for continuation in prompts.continuations]
        texts = [query, *(query + continuation for continuation in continuations)]
        tokens = self._tokens(texts)
        if isinstance(tokens, Failure):
            return tokens
        labels = [_added(tokens[0], row, label) for row, label in zip(tokens[1:], continuations, strict=True)]
        for i, label in enumerate(labels):
            if label in labels[:i]:
                twin = continuations[labels.index(label)]
                raise UserError(f"the tokenizer makes the same tokens of labels {twin!r} and {continuations[i]!r}")
        if not any(a is not b and b[: len(a)] == a for a in labels for b in labels):
            return _Labels(labels, [[] for _ in labels])
        ended = self._tokens([text + terminator for text in texts[1:]])
        if isinstance(ended, Failure):
            return ended
        ends = [_added(row, more, terminator) for row, more in zip(tokens[1:], ended, strict=True)]
        return _Labels(labels, ends)

    def _tokens(self, texts: Sequence[str]) -> list[list[str]] | Failure:
        """The tokens of each text."""
        requests = [
            _echo_request(text, lambda answer, text=text: _prompt_tokens(answer, text), "tokens") for text in texts
        ]
        self._prove(requests)
        answers = self.client.ask(requests)
        return next((answer for answer in answers if isinstance(answer, Failure)), answers)


def _clean(text: str) -> str:
    """A text that can be sent: without halves of characters, which UTF-8 does not have."""
    return text.encode("utf-8", errors="replace").decode()


def _clean_messages(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: _clean(value) for name, value in message.items()} for message in messages]


def _texts(prompts: Prompts) -> list[str]:
    assert not prompts.with_special_tokens, "a server adds special tokens itself: it needs the messages"
    return [_clean(prompts.prefix + query) for query in prompts.queries]


def _by_query(num_labels: int, num_queries: int, progress: Progress | None) -> Any:
    """What tells `progress` that a query is done when all its labels are."""
    if progress is None:
        return None
    left = [num_labels] * num_queries

    def done(index: int) -> None:
        left[index // num_labels] -= 1
        if not left[index // num_labels]:
            progress(1)

    return done


def _first_line(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError("no text")
    return _clean(text).split("\n", 1)[0].strip()


def _plain_answer(answer: Any) -> str:
    return _first_line(answer["choices"][0]["text"])


def _chat_answer(answer: Any) -> str:
    # no content is a refusal, or thinking that did not end: the model has answered, but no label
    content = answer["choices"][0]["message"]["content"]
    return "" if content is None else _first_line(content)


def _echo_request(text: str, read: Any, purpose: Any = None) -> Request:
    """
    Asks for the tokens of `text` with their log-probabilities. One token is written, because not every server can
    write none; at temperature 1, where a scaled log-probability is the plain one.
    """
    body = {"prompt": text, "max_tokens": 1, "temperature": 1.0, "top_p": 1.0, "echo": True, "logprobs": 1}
    return Request("completions", body, read, purpose)


def _read_echo(answer: Any, prompt: str) -> _Echo:
    """Takes the tokens of a prompt from an answer. Raises `ValueError`, `LookupError` or `TypeError` without them."""
    choice, prompt_tokens = answer["choices"][0], answer["usage"]["prompt_tokens"]
    tokens, logprobs = choice["logprobs"]["tokens"], choice["logprobs"]["token_logprobs"]
    if len(tokens) != len(logprobs) or not 0 < prompt_tokens <= len(tokens) or not choice["text"].startswith(prompt):
        raise ValueError("the answer does not hold the prompt")
    # nothing comes before the first token; NaN is not below 0
    if not all(isinstance(logprob, int | float) and logprob <= 1e-3 for logprob in logprobs[1:prompt_tokens]):
        raise ValueError("the log-probabilities of the prompt are missing")
    return _Echo(choice["text"], tokens, logprobs, prompt_tokens)


def _prompt_tokens(answer: Any, prompt: str) -> list[str]:
    echo = _read_echo(answer, prompt)
    return echo.tokens[: echo.prompt_tokens]


def _added(before: list[str], after: list[str], text: str) -> list[str]:
    """The tokens that `text` adds to those before it."""
    if after[: len(before)] != before:
        raise UserError(
            f"the tokenizer joins {text!r} with what is before it, so labels cannot be scored by likelihood; pass "
            "--scoring generate"
        )
    if len(after) == len(before):
        raise UserError(f"the tokenizer makes no tokens of {text!r}")
    return after[len(before) :]


def _label_request(text: str, continuation: str, terminator: str, labels: _Labels, k: int) -> Request:
    """
    Asks for the log-probability of label k behind `text`: `[log-probability, number of tokens before the label]`, the
    number `None` if the text does not end with the label's tokens.
    """
    label, end = labels.tokens[k], labels.ends[k]
    whole = text + continuation + (_clean(terminator) if labels.terminated else "")
    scored = len(label) + (1 if labels.terminated else 0)

    def read(answer: Any) -> list[float | int | None]:
        echo = _read_echo(answer, whole)
        start = echo.prompt_tokens - len(label) - len(end)
        if start < 1 or echo.tokens[start : echo.prompt_tokens] != label + end:
            return [0.0, None]
        return [float(sum(echo.logprobs[start : start + scored])), start]

    return _echo_request(whole, read, ["label", label, end])
