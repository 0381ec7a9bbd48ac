# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a study prints: its plan, its progress and its results."""

from collections import Counter
from types import TracebackType
from typing import Any

from ..terminal import Progress, duration, note, say, table, warn
from .plan import Cell
from .runner import DONE, ELSEWHERE, FAILED, RUNNING, CellState
from .study import Study

PREFERRED = ("raw", "calibrated")


class StudyDisplay:
    """
    Prints the plan of a study, one line for every cell that starts, ends or fails, and the results. On a terminal a
    line shows how many are done, which ones run, and the time that is left.

    Args:
        study: The study.
    """

    def __init__(self, study: Study):
        self.study = study

    def __enter__(self) -> "StudyDisplay":
        done = sum(state.state == DONE for state in self.study.states().values())
        self._bar = Progress("study", len(self.study.cells), "command", done=done, throttled=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._bar.close(whole=kind is None)

    # ---- plan ----

    def plan(self) -> list[dict[str, Any]]:
        """For each kind of command, how many there are and are done, their work, and the seconds that are left."""
        states = self.study.states()
        expected = self.study.estimates(states)
        rows = []
        for stage in dict.fromkeys(cell.stage for cell in self.study.cells):
            cells = [cell for cell in self.study.cells if cell.stage == stage]
            left = [cell for cell in cells if states[cell.name].state != DONE]
            work: Counter[str] = Counter()
            for cell in cells:
                work.update(cell.work)
            rows.append(
                {
                    "command": stage,
                    "cells": len(cells),
                    "done": len(cells) - len(left),
                    "work": dict(work),
                    "left_seconds": _total(left, expected),
                    "methods": list(dict.fromkeys(cell.method for cell in cells if cell.method)),
                }
            )
        return rows

    def print_plan(self) -> None:
        """Prints a line for each kind of command, and for how long what is left is likely to take."""
        rows = []
        for entry in self.plan():
            amounts = ", ".join(f"{count:,} {unit.replace('_', ' ')}s" for unit, count in entry["work"].items())
            methods = ", ".join(entry["methods"]) or "all"
            rows.append(
                [
                    entry["command"],
                    str(entry["cells"]),
                    str(entry["done"]),
                    amounts.replace("querys", "queries").replace("text per classs", "texts per class"),
                    duration(entry["left_seconds"]),
                    methods if len(methods) <= 60 else f"{methods[:57]}...",
                ]
            )
        columns = ("command", "cells", "done", "work", "left", "about")
        table(columns, rows, f"{self.study.name}: plan", left=("command", "about"))
        states = self.study.states()
        expected = self.study.estimates(states)
        left = [cell for cell in self.study.cells if states[cell.name].state != DONE]
        total = _total(left, expected)
        workers = self.study.args.num_workers
        known = sum(expected[cell.name] or 0.0 for cell in left)
        line = f"{len(left)} of {len(self.study.cells)} commands are left: "
        if total is not None:
            line += f"about {duration(total / workers)}"
        elif known:
            line += f"at least {duration(known / workers)}; --rates, or what has been run, tells of the others"
        else:
            line += "how long that takes is not known before some have been run, or from --rates"
        say(line)

    # ---- progress ----

    def on_change(self, cell: Cell, state: CellState, states: dict[str, CellState]) -> None:
        """Shows what became of a cell."""
        left = [one for one in self.study.cells if states[one.name].state not in (DONE, FAILED)]
        total = _total(left, self.study.estimates(states))
        seconds = None if total is None else total / self.study.args.num_workers
        done = sum(one.state == DONE for one in states.values())
        self._bar.update(done - self._bar.done)
        self._bar.expect(seconds)
        if self._bar.is_drawn:
            running = [name for name, one in states.items() if one.state == RUNNING]
            self._bar.report(**({"running": ", ".join(running)} if running else {}))
        count = f"[{done}/{len(states)}]"
        if state.state == RUNNING and not self._bar.is_drawn:
            note(f"{count} {cell.name} ...")
        elif state.state == DONE:
            tells = left and seconds is not None and not self._bar.is_drawn
            rest = f", about {duration(seconds)} left" if tells else ""
            note(f"{count} {cell.name}: {duration(state.seconds)}{rest}")
        elif state.state == FAILED:
            warn(f"{count} {cell.name} failed: {state.error}")
        elif state.state == ELSEWHERE:
            note(f"{count} {cell.name} is run by another process")

    # ---- results ----

    def print_results(self, results: dict[str, Any]) -> None:
        """Prints the headline table and what is missing."""
        titles = {method.name: method.title for method in self.study.methods}
        title = f"{results['task']}, {results['split']}: accuracy in %, 95 % interval"
        if results["num_queries"]:
            title += f"; {results['num_queries']} queries"
        learners = list(dict.fromkeys(name for row in results["rows"] for name in row["learners"]))
        rows = [
            [
                titles[row["method"]],
                str(row["dpc"]),
                str(row["num_sets"]),
                *(percent(row["icl"].get(kind)) for kind in PREFERRED),
                *(percent(row["learners"].get(name)) for name in learners),
                f"{row['gradient_cosine']['mean']:.4f}" if row["gradient_cosine"] else "-",
            ]
            for row in sorted(results["rows"], key=lambda row: row["dpc"])
        ]
        table(("method", "dpc", "sets", *PREFERRED, *learners, "cosine"), rows, title, keys=2)
        if results["missing"]:
            say(f"{len(results['missing'])} commands are not done")
        say(f"results: {self.study.directory.path / 'results.json'}")


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
