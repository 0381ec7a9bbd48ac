# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Faults that the test Hub is told to make: error answers, cut connections, slow, short and corrupted answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Fault:
    """
    What goes wrong with the next `times` requests of this method (None: any) whose path matches the pattern.

    `status` answers with an error instead of handling the request; with `handled`, after handling it, so that what
    was asked for has happened and only the answer is lost. `upload_bytes` cuts the connection after that many bytes
    of the request's body, `download_bytes` after that many of the answer's (-1: before the answer), with `reset`
    by a TCP reset instead of in good order. The answer's length stays what it was, except with `short`, where it says
    that the cut body is all there is.
    """

    path: str
    method: str | None = None
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    handled: bool = False
    upload_bytes: int | None = None
    download_bytes: int | None = None
    reset: bool = False
    short: bool = False
    corrupt: bool = False
    delay: float = 0.0
    before: Callable[[], None] | None = None

    def matches(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in (None, method) and re.search(self.path, path) is not None


class Faults:
    """The queue of faults. Paths are regular expressions, searched in the request's unquoted path."""

    def __init__(self):
        self._lock = threading.Lock()
        self._queue: list[Fault] = []

    def add(self, path: str, method: str | None = None, times: int = 1, **fields) -> Fault:
        """Queues any fault; the other methods are shorthands for the usual ones."""
        fault = Fault(path, method, times, **fields)
        with self._lock:
            self._queue.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """Returns the first fault that matches, counted down, or None."""
        with self._lock:
            fault = next((fault for fault in self._queue if fault.matches(method, path)), None)
            if fault is not None:
                fault.times -= 1
            return fault

    @property
    def pending(self) -> list[Fault]:
        """Faults that have not struck as often as they should: a test that expects one to strike asserts on it."""
        return [fault for fault in self._queue if fault.times > 0]

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def status(
        self, status: int, path: str, method: str | None = None, times: int = 1, retry_after: int | None = None
    ) -> Fault:
        """Answers with an error instead of handling the request: 429 (with `Retry-After`), 500, 502, 503, ..."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return self.add(path, method, times, status=status, headers=headers)

    def lost_answer(self, path: str, method: str | None = None, times: int = 1, status: int | None = None) -> Fault:
        """Handles the request, then cuts the connection (or answers with `status`) instead of telling the client."""
        if status is None:
            return self.add(path, method, times, handled=True, download_bytes=-1)
        return self.add(path, method, times, handled=True, status=status)

    def cut_upload(
        self, path: str, after: int, method: str | None = None, times: int = 1, reset: bool = False
    ) -> Fault:
        """Cuts the connection when `after` bytes of the request's body have arrived."""
        return self.add(path, method, times, upload_bytes=after, reset=reset)

    def cut_download(
        self, path: str, after: int, method: str | None = None, times: int = 1, reset: bool = False
    ) -> Fault:
        """Cuts the connection when `after` bytes of the answer's body have been sent."""
        return self.add(path, method, times, download_bytes=after, reset=reset)

    def truncate(self, path: str, keep: int, method: str | None = None, times: int = 1) -> Fault:
        """Sends only `keep` bytes of the body, with a `Content-Length` that says so."""
        return self.add(path, method, times, download_bytes=keep, short=True)

    def corrupt(self, path: str, method: str | None = None, times: int = 1) -> Fault:
        """Flips bits in the middle of the answer's body; its length stays the same."""
        return self.add(path, method, times, corrupt=True)

    def delay(self, seconds: float, path: str, method: str | None = None, times: int = 1) -> Fault:
        """Waits before handling the request."""
        return self.add(path, method, times, delay=seconds)
