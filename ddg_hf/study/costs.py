# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the cells of a study cost, and what those that are left will."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UserError, closest
from .methods import Method
from .plan import Cell
from .runner import DONE, CellState, StudyDirectory

UNITS = ("query", "pretrain_step", "distill_step", "generated_text", "learner_step")


def check_rates(rates: Mapping[str, Any]) -> None:
    """Raises `UserError` if a rate has no such unit or is no number of seconds."""
    for unit, seconds in rates.items():
        if unit not in UNITS:
            raise UserError(f"--rates: no unit '{unit}'.{closest(unit, UNITS)} There are {', '.join(UNITS)}.")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
            raise UserError(f"--rates: {unit} must be a number of seconds, got {seconds!r}")


def estimates(
    cells: Sequence[Cell], states: Mapping[str, CellState], rates: Mapping[str, float]
) -> dict[str, float | None]:
    """
    Seconds that every cell is likely to take, by name: by what finished cells of the same command (and the same number
    of rows per class, if there are any) took for a unit of work, else by `rates`; `None` where neither says anything.
    """
    done = [cell for cell in cells if states[cell.name].state == DONE and states[cell.name].seconds is not None]
    return {cell.name: _estimate(cell, done, states, rates) for cell in cells}


def _estimate(cell: Cell, done: Sequence[Cell], states: Mapping[str, CellState], rates: Mapping[str, float]):
    alike = [other for other in done if other.stage == cell.stage]
    alike = [other for other in alike if other.dpc == cell.dpc] or alike
    if not cell.work:
        seconds = [states[other.name].seconds for other in alike]
        return sum(seconds) / len(seconds) if seconds else None
    total = 0.0
    for unit, count in cell.work.items():
        measured = [other for other in alike if other.work.get(unit)]
        if measured:
            rate = sum(states[o.name].seconds for o in measured) / sum(o.work[unit] for o in measured)
        elif unit in rates:
            rate = rates[unit]
        else:
            return None
        total += rate * count
    return total


def cost_of(
    method: Method, evaluations: Sequence[Cell], directory: StudyDirectory, states: Mapping[str, CellState]
) -> dict[str, float | None]:
    """
    Seconds and peak memory of what led to the evaluations of a method, each a mean over its training seeds:
    `train_seconds` (the generator), `generate_seconds` (all its sets, with those that were not kept),
    `evaluate_seconds`, and the greatest `peak_memory_mb`.
    """
    by_name = {cell.name: cell for cell in directory.cells}
    parts: dict[str, float] = {}
    memory: list[float] = []
    for cell in evaluations:
        for needed in _chain(cell, by_name):
            state = states[needed.name]
            kind = {"pretrain": "train", "distill": "train", "evaluate-icl": "evaluate"}.get(needed.stage, "generate")
            parts[kind] = parts.get(kind, 0.0) + (state.seconds or 0.0)
            if state.peak_memory_mb is not None:
                memory.append(state.peak_memory_mb)
    number = max(1, len(evaluations))
    seconds = {f"{kind}_seconds": parts[kind] / number if kind in parts else None for kind in _KINDS}
    return seconds | {"peak_memory_mb": max(memory, default=None)}


_KINDS = ("train", "generate", "evaluate")


def _chain(cell: Cell, by_name: Mapping[str, Cell]) -> list[Cell]:
    """A cell and all that it needs, directly or not."""
    found = {cell.name: cell}
    for name in cell.needs:
        found |= {one.name: one for one in _chain(by_name[name], by_name)}
    return list(found.values())
