# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How far a piece of work is: a line that moves on a terminal, plain lines now and then elsewhere."""

import sys
import time
from types import TracebackType

from . import output
from .output import console_of, draws_progress, duration, end_drawing, is_drawn, is_terminal, note

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
        # Seconds that are left, where more is known about them than how long the rest has taken.
        self.left: float | None = None
        self._done_before, self._start = done, time.monotonic()
        self._last_line, self._last_done = self._start, done
        # Of plain lines [`note`] knows whether they are shown.
        self._is_drawn, self._is_plain = shown and draws_progress(), shown and not is_drawn(sys.stderr)
        if self._is_drawn:
            self._bars = _open_bars()
            self._task = self._bars.add_task("", total=max(total, 1), completed=done, **self._fields())

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.close(whole=kind is None)

    @property
    def elapsed(self) -> float:
        """Seconds since it began here."""
        return time.monotonic() - self._start

    def update(self, number: int = 1) -> None:
        """Says that so much more is done."""
        self.done += number
        if self._is_drawn:
            self._draw()
        elif self._is_plain and self.throttled and self._is_due():
            self._print()

    def describe(self, description: str) -> None:
        """Says what is being done now."""
        self.description = description
        if self._is_drawn:
            self._draw()

    def report(self, **values: str) -> None:
        """Shows values beside the count: `loss="0.2314"`."""
        self.values = " ".join(f"{name} {value}" for name, value in values.items())
        if self._is_drawn:
            self._draw()
        elif self._is_plain and not self.throttled:
            self._print()

    def close(self, whole: bool = True) -> None:
        """Shows how long it took, unless it is not `whole`, and nothing after that."""
        if self._is_drawn:
            self._draw(ended=whole)
            _close_bar(self._bars, self._task)
        elif self._is_plain and whole and self.done != self._last_done:
            self._print(ended=True)
        self._is_drawn = self._is_plain = False

    def _time(self, ended: bool = False) -> str:
        """How long it is likely to take, or took."""
        if ended or self.done >= self.total:
            return f"in {duration(self.elapsed)}"
        done_here = self.done - self._done_before
        left = self.left
        if left is None and done_here:
            left = self.elapsed / done_here * (self.total - self.done)
        return f"eta {duration(left)}"

    def _is_due(self) -> bool:
        seconds = time.monotonic() - self._last_line
        is_much = self.done - self._last_done >= PLAIN_SHARE * self.total
        return seconds >= PLAIN_SECONDS and (is_much or seconds >= PLAIN_LONG_SECONDS)

    def _print(self, ended: bool = False) -> None:
        self._last_line, self._last_done = time.monotonic(), self.done
        parts = [self.description, self.unit, f"{self.done}/{self.total}", self.values, self._time(ended)]
        note(" ".join(part for part in parts if part))

    def _fields(self, ended: bool = False) -> dict[str, str]:
        count = f"{self.description} {self.unit} {self.done}/{self.total}"
        return {"count": output.printable(count), "values": self.values, "time": self._time(ended)}

    def _draw(self, ended: bool = False) -> None:
        self._bars.update(self._task, completed=self.done, **self._fields(ended))


def _open_bars():
    """What is drawn on the terminal: one line for each piece of work that is under way."""
    state = output.state()
    if state.bars is None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        state.bars = Bars(
            TextColumn("{task.fields[count]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[values]}", markup=False),
            TextColumn("{task.fields[time]}", markup=False),
            console=console_of(sys.stderr),
            refresh_per_second=4,
            redirect_stdout=is_terminal(sys.stdout),  # what libraries print goes above; a file gets it as it is
            expand=True,
        )
        state.bars.start()
    state.num_bars += 1
    return state.bars


def _close_bar(bars, task) -> None:
    state = output.state()
    if state.bars is not bars:  # all of them were closed
        return
    state.num_bars -= 1
    if state.num_bars:
        bars.remove_task(task)
    else:
        end_drawing()
