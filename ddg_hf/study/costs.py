# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the cells of a study cost, and what those that are left will."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UserError, closest
from ..evaluation.arguments import RETRIEVED
from ..provenance import METADATA_FILE, read_json
from .flops import TextTokens, non_embedding_parameters, stage_flops
from .plan import Cell
from .runner import DONE, CellState, StudyDirectory

UNITS = ("query", "pretrain_step", "distill_step", "text_per_class", "learner_step")


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
    of rows per class, if there are any) took for a unit of work, else by `rates`, else by cells of other numbers;
    `None` where nothing says anything.
    """
    done = [cell for cell in cells if states[cell.name].state == DONE and states[cell.name].seconds is not None]
    return {cell.name: _estimate(cell, done, states, rates) for cell in cells}


def _estimate(cell: Cell, done: Sequence[Cell], states: Mapping[str, CellState], rates: Mapping[str, float]):
    learner = cell.content.get("learner")
    alike = [other for other in done if other.stage == cell.stage and other.content.get("learner") == learner]
    same = [other for other in alike if other.dpc == cell.dpc]
    if not cell.work:
        seconds = [states[other.name].seconds for other in same or alike]
        return sum(seconds) / len(seconds) if seconds else None
    total = 0.0
    for unit, count in cell.work.items():
        rate = _rate(unit, same, states) or rates.get(unit) or _rate(unit, alike, states)
        if rate is None:
            return None
        total += rate * count
    return total


def _rate(unit: str, cells: Sequence[Cell], states: Mapping[str, CellState]) -> float | None:
    """Seconds that finished cells took for a unit of work."""
    measured = [cell for cell in cells if cell.work.get(unit)]
    if not measured:
        return None
    return sum(states[cell.name].seconds for cell in measured) / sum(cell.work[unit] for cell in measured)


def cost_of(
    evaluations: Sequence[Cell],
    directory: StudyDirectory,
    states: Mapping[str, CellState],
    tokens: TextTokens | None,
) -> dict[str, float | None]:
    """
    What led to the evaluations of a method, each a mean over its training seeds: `train_seconds` (the generator),
    `generate_seconds` (all its sets, with those that were not kept), `evaluate_seconds`; the greatest
    `peak_memory_mb` of a process (without a GPU's); and `flops` of training, sampling, choosing by likelihood and
    evaluating, as [`stage_flops`] estimates them: without what a learner computes for `select`, and `None` where a
    part is not known (a model whose size is not; `tokens`, where no set has been measured).
    """
    by_name = {cell.name: cell for cell in directory.cells}
    parts: dict[str, float] = {}
    memory: list[float] = []
    flops: list[float | None] = []
    for cell in evaluations:
        for needed in _chain(cell, by_name):
            state = states[needed.name]
            kind = {"pretrain": "train", "distill": "train", "evaluate-icl": "evaluate"}.get(needed.stage, "generate")
            parts[kind] = parts.get(kind, 0.0) + (state.seconds or 0.0)
            if state.peak_memory_mb is not None:
                memory.append(state.peak_memory_mb)
            flops.append(_flops_of(needed, directory, tokens) if tokens else None)
    number = max(1, len(evaluations))
    seconds = {f"{kind}_seconds": parts[kind] / number if kind in parts else None for kind in _KINDS}
    total = sum(flops) / number if flops and None not in flops else None
    return seconds | {"peak_memory_mb": max(memory, default=None), "flops": total}


_KINDS = ("train", "generate", "evaluate")


def _chain(cell: Cell, by_name: Mapping[str, Cell]) -> list[Cell]:
    """A cell and all that it needs, directly or not."""
    found = {cell.name: cell}
    for name in cell.needs:
        found |= {one.name: one for one in _chain(by_name[name], by_name)}
    return list(found.values())


def _flops_of(cell: Cell, directory: StudyDirectory, tokens: TextTokens) -> float | None:
    """Estimate for a finished cell; 0 for a `select` that needs no generator."""
    if cell.stage == "select" and "generator" not in cell.inputs:
        return 0.0
    output = directory.output(cell.name)
    record = read_json(output / METADATA_FILE)
    arguments = record.get("arguments", {})
    if cell.stage in ("pretrain", "distill"):  # it is of the size of what it was made from, which may be elsewhere
        generator = output
    elif "generator" in cell.inputs:  # the study may have moved
        generator = directory.output(cell.inputs["generator"])
    else:
        generator = arguments.get("generator")
    facts: dict[str, float | None] = {
        "generator": non_embedding_parameters(generator and str(generator)),
        "learner": non_embedding_parameters(arguments.get("learner"), classifier=True),
        "model": non_embedding_parameters(arguments.get("model")),
        "sampled": record.get("sampling", {}).get("sampled"),
        "queries": record.get("scored_queries"),
        "scored_rows": record.get("scored_rows"),
    }
    num_labels = 0
    if cell.stage == "evaluate-icl":
        # One that shows what another has shown takes its answers from there, in no time.
        runs = [run for run in read_json(output / "results.json")["runs"] if run["seconds"] != 0]
        # Retrieved rows are another prefix for each query, of which the mean is there.
        own = cell.options.get("demonstrations") in RETRIEVED
        prefixes = [run["num_queries"] if own else 1 for run in runs]
        facts |= {"prefix_tokens": sum(n * run["prefix_tokens"] for n, run in zip(prefixes, runs, strict=True))}
        facts |= {"queries": sum(run["num_queries"] for run in runs)}
    elif cell.stage == "distill":
        num_labels = len(read_json(output / "generator_format.json")["label_names"])
    known = {name: value for name, value in facts.items() if value is not None}
    return stage_flops(cell.stage, arguments, num_labels, tokens, known)
