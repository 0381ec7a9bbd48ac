# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a study prints: its plan, its progress and its results."""

import sys
from collections import Counter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from .plan import Cell
from .runner import DONE, ELSEWHERE, FAILED, RUNNING, CellState
from .study import Study

PREFERRED = ("raw", "calibrated")


def duration(seconds: float | None) -> str:
    """`90.0` as "1 min 30 s"; "?" if it is not known."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class StudyDisplay:
    """
    Prints one line for every cell that starts, ends or fails.

    Args:
        study: The study.
    """

    def __init__(self, study: Study):
        self.study = study
        self.console = Console(width=None if sys.stdout.isatty() else 140, soft_wrap=True, highlight=False)

    def __enter__(self) -> "StudyDisplay":
        return self

    def __exit__(self, *_: Any) -> None:
        self.console.file.flush()

    # ---- plan ----

    def print_plan(self) -> None:
        """Prints a line for each kind of command, and for how long what is left is likely to take."""
        states = self.study.states()
        expected = self.study.estimates(states)
        table = Table(title=f"{self.study.name}: plan", box=box.SIMPLE, title_justify="left")
        for column in ("command", "cells", "done", "work", "left", "about"):
            table.add_column(column, justify="left" if column in ("command", "about") else "right", no_wrap=True)
        for stage in dict.fromkeys(cell.stage for cell in self.study.cells):
            cells = [cell for cell in self.study.cells if cell.stage == stage]
            left = [cell for cell in cells if states[cell.name].state != DONE]
            work: Counter[str] = Counter()
            for cell in cells:
                work.update(cell.work)
            amounts = ", ".join(f"{count:,} {unit.replace('_', ' ')}s" for unit, count in work.items())
            methods = ", ".join(dict.fromkeys(cell.method for cell in cells if cell.method)) or "all"
            table.add_row(
                stage,
                str(len(cells)),
                str(len(cells) - len(left)),
                amounts.replace("querys", "queries").replace("text per classs", "texts per class"),
                duration(_total(left, expected)),
                methods if len(methods) <= 60 else f"{methods[:57]}...",
            )
        self.console.print(table)
        left = [cell for cell in self.study.cells if states[cell.name].state != DONE]
        total = _total(left, expected)
        workers = self.study.args.num_workers
        known = sum(expected[cell.name] or 0.0 for cell in left)
        line = f"{len(left)} of {len(self.study.cells)} commands are left: "
        if total is not None:
            line += f"about {duration(total / workers)}"
        else:
            line += (
                f"at least {duration(known / workers)}, as far as it is known (--rates, or what has been run, tells)"
            )
        self.console.print(line, markup=False)

    # ---- progress ----

    def on_change(self, cell: Cell, state: CellState, states: dict[str, CellState]) -> None:
        """Prints what became of a cell."""
        done = sum(one.state == DONE for one in states.values())
        count = f"[{done}/{len(states)}]"
        if state.state == RUNNING:
            line = f"{count} {cell.name} ..."
        elif state.state == DONE:
            left = [one for one in self.study.cells if states[one.name].state not in (DONE, FAILED)]
            total = _total(left, self.study.estimates(states))
            line = f"{count} {cell.name}: {duration(state.seconds)}"
            if left and total is not None:
                line += f", about {duration(total / self.study.args.num_workers)} left"
        elif state.state == FAILED:
            line = f"{count} {cell.name} failed: {state.error}"
        elif state.state == ELSEWHERE:
            line = f"{count} {cell.name} is run by another process"
        else:
            return
        self.console.print(line, markup=False)

    # ---- results ----

    def print_results(self, results: dict[str, Any]) -> None:
        """Prints the headline table and what is missing."""
        titles = {method.name: method.title for method in self.study.methods}
        title = f"{results['task']}, {results['split']}: accuracy in %, 95 % interval"
        if results["num_queries"]:
            title += f"; {results['num_queries']} queries"
        table = Table(title=title, box=box.SIMPLE, title_justify="left")
        learners = list(dict.fromkeys(name for row in results["rows"] for name in row["learners"]))
        for column in ("method", "dpc", "sets", *PREFERRED, *learners, "cosine"):
            table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
        for row in sorted(results["rows"], key=lambda row: row["dpc"]):
            table.add_row(
                titles[row["method"]],
                str(row["dpc"]),
                str(row["num_sets"]),
                *(percent(row["icl"].get(kind)) for kind in PREFERRED),
                *(percent(row["learners"].get(name)) for name in learners),
                f"{row['gradient_cosine']['mean']:.4f}" if row["gradient_cosine"] else "-",
            )
        self.console.print(table)
        if results["missing"]:
            self.console.print(f"{len(results['missing'])} commands are not done", markup=False)
        self.console.print(f"results: {self.study.directory.path / 'results.json'}", markup=False)


def percent(entry: dict[str, float | None] | None) -> str:
    """An interval in percent."""
    if entry is None:
        return "-"
    if entry["low"] is None:
        return f"{100 * entry['mean']:.1f}"
    return f"{100 * entry['mean']:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"


def _total(cells: list[Cell], expected: dict[str, float | None]) -> float | None:
    """Seconds of all cells, `None` if one is not known."""
    seconds = [expected[cell.name] for cell in cells]
    return None if None in seconds else sum(seconds)
