# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Lines that move on a terminal, by `rich`. Imported where they are needed: most commands begin without them."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.progress import BarColumn, ProgressColumn, Task, TaskID
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from . import output

if TYPE_CHECKING:
    from .progress import Progress


class _Part(ProgressColumn):
    """A part of a line, as a piece of work says whenever it is drawn."""

    def __init__(self, text: Callable[["Progress"], str]):
        super().__init__(table_column=Column(no_wrap=True))
        self.text = text

    def render(self, task: Task) -> Text:
        return Text(output.printable(self.text(task.fields["work"])))


def open_line(work: "Progress") -> tuple[Bars, TaskID]:
    """Draws one more line, below those that are there."""
    state = output.state()
    if state.bars is None:
        state.bars = Bars(
            _Part(lambda work: work.count()),
            BarColumn(bar_width=None),
            _Part(lambda work: work.values),
            _Part(lambda work: work.time()),
            console=output.console_of(sys.stderr),
            refresh_per_second=4,
            redirect_stdout=output.is_terminal(sys.stdout),  # what libraries print goes above; a file gets it as it is
            expand=True,
        )
        state.bars.start()
    state.num_bars += 1
    return state.bars, state.bars.add_task("", total=max(work.total, 1), completed=work.done, work=work)


def close_line(bars: Bars, task: TaskID) -> None:
    """Leaves the last line where it is; one that others are drawn beside goes."""
    state = output.state()
    if state.bars is not bars:  # all of them were closed
        return
    state.num_bars -= 1
    if state.num_bars:
        bars.remove_task(task)
    else:
        output.end_drawing()
