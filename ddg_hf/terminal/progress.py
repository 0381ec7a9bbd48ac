# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How far a piece of work is: a line that moves on a terminal, plain lines now and then elsewhere."""

import sys
import time
from types import TracebackType

from .output import draws_progress, duration, is_drawn, note

# A plain line comes at most every so many seconds, when a tenth more is done or it is long ago.
PLAIN_SECONDS, PLAIN_SHARE, PLAIN_LONG_SECONDS = 10.0, 0.1, 60.0


class Progress:
    """
    Counts what is done of a piece of work, on standard error.

        with Progress("sampling", total=600, unit="text") as bar:
            bar.update(20)

    On a terminal a line moves; elsewhere (and with `NO_COLOR` or `TERM=dumb`) there are plain lines. Nothing is shown
    with `--quiet`, and by other processes than the main one.

    Args:
        description: What is done.
        total: How much there is to do.
        unit: Of what.
        done: How much was done before.
        throttled: Plain lines come by themselves, but not often; otherwise with every [`report`] only.
        shown: `False`: nothing is shown.
    """

    def __init__(
        self, description: str, total: int, unit: str, done: int = 0, throttled: bool = True, shown: bool = True
    ):
        self.description, self.total, self.unit, self.done = description, total, unit, done
        self.throttled, self.values = throttled, ""
        self._done_before, self._start = done, time.monotonic()
        # When the time that is left was estimated, and that time.
        self._estimate: tuple[float, float] | None = None
        self._took: float | None = None
        self._last_line, self._last_done = self._start, done
        # Of plain lines [`note`] knows whether they are shown.
        self.is_drawn, self._is_plain = shown and draws_progress(), shown and not is_drawn(sys.stderr)
        if self.is_drawn:
            from .drawing import open_line

            self._bars, self._task = open_line(self)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.close(whole=kind is None)

    def update(self, number: int = 1) -> None:
        """Says that so much more is done."""
        self.done += number
        now, done_here = time.monotonic(), self.done - self._done_before
        if done_here > 0:
            self.expect((now - self._start) / done_here * max(0, self.total - self.done))
        if self.is_drawn:
            self._bars.update(self._task, completed=self.done)
        elif self._is_plain and self.throttled and self._is_due(now):
            self._print()

    def expect(self, seconds: float | None) -> None:
        """Says how long the rest is likely to take. Otherwise it takes as long as what was done, in proportion."""
        self._estimate = None if seconds is None else (time.monotonic(), seconds)

    def describe(self, description: str) -> None:
        """Says what is being done now."""
        self.description = description

    def report(self, **values: str) -> None:
        """Shows values beside the count: `loss="0.2314"`."""
        self.values = " ".join(f"{name} {value}" for name, value in values.items())
        if self._is_plain and not self.throttled:
            self._print()

    def close(self, whole: bool = True) -> None:
        """Shows how long it took, unless it is not `whole`, and nothing after that."""
        if whole:
            self._took = time.monotonic() - self._start
        if self.is_drawn:
            from .drawing import close_line

            close_line(self._bars, self._task)
        elif self._is_plain and whole and self.done != self._last_done:
            self._print()
        self.is_drawn = self._is_plain = False

    # ---- the parts of a line ----

    def count(self) -> str:
        """What is done of what."""
        return f"{self.description} {self.unit} {self.done}/{self.total}"

    def time(self) -> str:
        """How long it is likely to take, or took."""
        now = time.monotonic()
        if self._took is not None or self.done >= self.total:
            return f"in {duration(now - self._start if self._took is None else self._took)}"
        if self._estimate is None:
            return "eta ?"
        at, seconds = self._estimate
        return f"eta {duration(max(0.0, seconds - (now - at)))}"

    def _is_due(self, now: float) -> bool:
        seconds = now - self._last_line
        is_much = self.done - self._last_done >= PLAIN_SHARE * self.total
        return seconds >= PLAIN_SECONDS and (is_much or seconds >= PLAIN_LONG_SECONDS)

    def _print(self) -> None:
        self._last_line, self._last_done = time.monotonic(), self.done
        note(" ".join(part for part in (self.count(), self.values, self.time()) if part))
