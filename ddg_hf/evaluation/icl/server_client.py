# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Many requests to an OpenAI-compatible server, some of which go wrong."""

import asyncio
import email.utils
import json
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ddg_hf.errors import UserError

from .journal import Journal, fingerprint

# Seconds between attempts: doubled each time, and made random so that parallel requests do not come back together.
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
# A server that asks for a longer pause than this is not waited for.
LONGEST_RETRY_AFTER = 300.0
# After so many failures in a row the rest is not asked: each costs all its attempts.
FAILURES_IN_A_ROW = 32
# The package insists on a key, also for a server that wants none.
NO_KEY = "none"

_TOO_LONG = re.compile(r"context|too long|too large|maximum.{0,40}(length|tokens)|exceed", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """
    One request.

    Attributes:
        endpoint: `completions` or `chat/completions`.
        body: Its JSON body, without the model.
        read: Takes what is wanted from the JSON answer. Whatever it raises of `ValueError`, `LookupError` and
            `TypeError` says that the answer is none.
        purpose: What `read` depends on besides the answer, as JSON: part of the request's name in the journal.
    """

    endpoint: str
    body: dict[str, Any]
    read: Callable[[Any], Any]
    purpose: Any = None


@dataclass(frozen=True)
class Failure:
    """A request that was not answered, and why, in one line."""

    message: str


@dataclass(frozen=True)
class _Problem:
    """Why one attempt failed. `kind` is `retry`, `fatal` (the run cannot go on), `refused` or `unreachable`."""

    message: str
    kind: str = "retry"
    wait: float | None = None


def _retry_after(value: str | None) -> float | None:
    """Seconds of a `Retry-After` header, a number or a date; `None` if there is none or it says nothing."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return seconds if 0 <= seconds < float("inf") else None


def _check_key(api_key: str) -> None:
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key or not api_key:
        raise UserError("the API key is empty or has characters that no key has, such as a space or a line break")


def _check_url(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UserError("--base_url must be an address such as http://localhost:8000/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise UserError("--base_url must end with the path, without password or query; pass a key with --api_key")
    return base_url.rstrip("/")


@dataclass
class _Work:
    """What is left to do in one call of [`ServerClient.ask`]."""

    pending: list[tuple[str, Request]]
    done: Callable[[str], None]
    failures: dict[str, Failure] = field(default_factory=dict)
    failed_in_a_row: int = 0


class ServerClient:
    """
    Asks an OpenAI-compatible server, through the `openai` package.

    A request that is answered with 408, 409, 429, a 5xx or something that is no answer, whose connection breaks, or
    that takes too long is asked again after a pause: the one that the server asks for (`Retry-After`), else twice as
    long each time. A request that stays without answer is a [`Failure`]; the others go on.

    The key is sent to the server and appears nowhere else.

    Args:
        base_url: Address of the API, such as `http://localhost:8000/v1`.
        model: Name by which the server knows the model.
        api_key: Key of the API; from the environment variable `OPENAI_API_KEY` by default, and none is needed.
        concurrency: Greatest number of requests at once.
        max_retries: Attempts after the first one.
        timeout: Seconds that one attempt may take.
        journal: File that keeps the answers; see [`~ddg_hf.evaluation.icl.journal.Journal`].

    Raises:
        UserError: an argument is unusable, or the `openai` package is not installed.
    """

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
        try:
            import openai
        except ImportError as error:
            raise UserError("a server needs the openai package: pip install 'ddg_hf[server]'") from error
        if concurrency < 1 or max_retries < 0 or not timeout > 0:
            raise UserError(
                "--concurrency must be at least 1, --max_retries at least 0 and --timeout more than 0, got "
                f"{concurrency}, {max_retries} and {timeout}"
            )
        if not model:
            raise UserError("pass --model, the name by which the server knows the model")
        self._openai = openai
        self.base_url = _check_url(base_url)
        self.model = model
        self._api_key = api_key or os.environ.get("OPENAI_API_KEY") or NO_KEY
        _check_key(self._api_key)
        self.concurrency = concurrency
        self.max_retries = max_retries
        self.timeout = timeout
        self.journal = Journal(journal)
        self._answered = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r}, model={self.model!r})"

    def missing(self, requests: Sequence[Request]) -> bool:
        """Whether some of the requests have no answer in the journal."""
        return any(self._key(request) not in self.journal for request in requests)

    def ask(self, requests: Sequence[Request], done: Callable[[int], None] | None = None) -> list[Any]:
        """
        Returns the answer to each request, or a [`Failure`].

        The first request that is not in the journal is asked alone: what is wrong with the address, the key or the
        model shows there. Equal requests are asked once. `done` is called with the index of each request that is
        answered or has failed.

        Raises:
            UserError: the server cannot be reached, refuses the key, has no such endpoint or model, finds the first
                request wrong, or says that a prompt is too long.
        """
        rows: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            rows.setdefault(self._key(request), []).append(index)

        def report(key: str) -> None:
            for index in rows[key] if done is not None else ():
                done(index)

        for key in rows:
            if key in self.journal:
                report(key)
        pending = [(key, requests[indices[0]]) for key, indices in rows.items() if key not in self.journal]
        work = _Work(pending, report)
        if pending:
            _run(self._connected(lambda client: self._ask_all(client, work)))
        answers: list[Any] = [None] * len(requests)
        for key, indices in rows.items():
            for index in indices:
                answers[index] = work.failures[key] if key in work.failures else self.journal[key]
        return answers

    def ask_once(self, request: Request) -> Any:
        """[`ask`] for one request that the journal has nothing to do with."""
        answers: list[Any] = []

        async def ask(client: Any) -> None:
            answers.append(await self._persist(client, request))

        _run(self._connected(ask))
        return answers[0]

    def _key(self, request: Request) -> str:
        return fingerprint([self.model, request.endpoint, request.body, request.purpose])

    async def _connected(self, ask: Callable[[Any], Awaitable[None]]) -> None:
        """Calls `ask` with a client, which belongs to the event loop it is made in."""
        timeout = self._openai.Timeout(self.timeout, connect=min(self.timeout, 10.0))
        options = {"base_url": self.base_url, "api_key": self._api_key, "max_retries": 0, "timeout": timeout}
        async with self._openai.AsyncOpenAI(**options) as client:
            await ask(client)

    async def _ask_all(self, client: Any, work: _Work) -> None:
        queue = iter(work.pending)
        await self._answer(client, work, *next(queue))

        async def worker() -> None:
            for key, request in queue:
                await self._answer(client, work, key, request)

        tasks = [asyncio.create_task(worker()) for _ in range(self.concurrency)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, client: Any, work: _Work, key: str, request: Request) -> None:
        """Asks for one answer and keeps it."""
        if work.failed_in_a_row >= FAILURES_IN_A_ROW:
            answer = Failure(f"not asked, because {FAILURES_IN_A_ROW} requests before it failed in a row")
        else:
            answer = await self._persist(client, request)
        if isinstance(answer, Failure):
            work.failures[key] = answer
            work.failed_in_a_row += 1
        else:
            self.journal.keep(key, answer)
            work.failed_in_a_row = 0
        work.done(key)

    async def _persist(self, client: Any, request: Request) -> Any:
        """Returns the answer to a request, or a failure after all attempts."""
        for attempt in range(self.max_retries + 1):
            answer = await self._attempt(client, request)
            if not isinstance(answer, _Problem):
                self._answered = True
                return answer
            problem = answer
            if problem.kind == "fatal" or (problem.kind == "refused" and not self._answered):
                raise UserError(problem.message)
            never = problem.kind == "refused" or (problem.wait or 0.0) > LONGEST_RETRY_AFTER
            if never or attempt == self.max_retries:
                break
            wait = min(FIRST_WAIT * 2 ** min(attempt, 32), LONGEST_WAIT) * random.uniform(0.75, 1.25)
            await asyncio.sleep(wait if problem.wait is None else problem.wait + wait / 10)
        if problem.kind == "unreachable" and not self._answered:
            raise UserError(f"no server answers at {self.base_url} ({problem.message}); check --base_url")
        return Failure(f"{problem.message} ({attempt + 1} attempt{'s' if attempt else ''})")

    async def _attempt(self, client: Any, request: Request) -> Any:
        """Returns the answer to a request, or a `_Problem`. Nothing is raised, so no exception holds the key."""
        api = client.completions if request.endpoint == "completions" else client.chat.completions
        sent: Awaitable[Any] = api.with_raw_response.create(model=self.model, **request.body)
        try:
            response = await asyncio.wait_for(sent, self.timeout)
            content = response.http_response.content
        except (asyncio.TimeoutError, self._openai.APITimeoutError):
            return _Problem(f"no answer within {self.timeout:g} s")
        except self._openai.APIStatusError as error:
            return self._status_problem(error, request.endpoint)
        except self._openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__
            kind = "unreachable" if cause in ("ConnectError", "ConnectTimeout") else "retry"
            return _Problem(self._line(error.__cause__ or error), kind)
        except self._openai.APIError as error:
            return _Problem(self._line(error))
        try:
            return request.read(json.loads(content))
        except (ValueError, LookupError, TypeError, RecursionError):
            return _Problem(f"the server sent something that is no answer: {self._line(content)}")

    def _status_problem(self, error: Any, endpoint: str) -> _Problem:
        """What an HTTP status means for the request."""
        status, reason = error.status_code, self._line(_message(error))
        text = f"the server answered {status}: {reason}"
        if status in (401, 403):
            return _Problem(f"{text}; check --api_key or the environment variable OPENAI_API_KEY", "fatal")
        if status in (404, 405, 501):
            other = "; pass --chat user for a server that offers only chat" if endpoint == "completions" else ""
            hint = f"{text} ({self.base_url}/{endpoint}); check --base_url, which usually ends in /v1, and --model"
            return _Problem(hint + other, "fatal")
        if status in (408, 409, 429) or status >= 500:
            return _Problem(text, wait=_retry_after(error.response.headers.get("retry-after")))
        return _Problem(text, "fatal" if _TOO_LONG.search(reason) else "refused")

    def _line(self, value: Any) -> str:
        """One short line of text, the key taken out: some servers repeat it."""
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        if self._api_key != NO_KEY:
            text = text.replace(self._api_key, "***")
        text = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text[:2000]).split())
        return f"{text[:200]}..." if len(text) > 200 else text or "(nothing)"


def _message(error: Any) -> str:
    """What a server says about an error: the formats of OpenAI and of FastAPI, else the body."""
    body = error.body
    for name in ("message", "detail", "error"):
        if isinstance(body, dict) and body.get(name):
            return str(body[name])
    return str(body or error.message)


def _run(coroutine: Any) -> None:
    """Runs a coroutine, also where an event loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(coroutine)
        return
    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, coroutine).result()
