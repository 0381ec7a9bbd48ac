# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A study as a whole: its plan, its directory, its run, its results."""

import dataclasses
import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from ..configs import DataArguments, RunArguments
from ..data.rows import check_classes, fingerprints, split_of
from ..data.tasks import TaskSpec
from ..errors import UserError
from ..evaluation.results import write_readable_json
from ..provenance import METADATA_FILE, read_json, redact, run_metadata, write_json
from ..terminal import say, warn
from .config import StudyArguments
from .costs import check_rates, estimates
from .methods import Method
from .plan import Cell, make_plan
from .results import StudyResults, check_data
from .runner import DONE, FAILED, CellState, StudyDirectory, StudyRunner
from .sources import given_sets

STUDY_FILE = "study.json"
RESULTS_FILE = "results.json"
VERSION = 1
WRITE_SECONDS = 300
"""Results of an unfinished study are written at most so often."""


class Study:
    """
    A study in its output directory.

    Args:
        data: The task.
        arguments: What is compared.
        run: Output directory, seed, and whether cells that were run with other settings are run again.

    Raises:
        UserError: the directory holds something else, or cells that were run with other settings and `overwrite` is
            not set.
    """

    def __init__(self, data: DataArguments, arguments: StudyArguments, run: RunArguments):
        check_rates(arguments.rates)
        self.data, self.args, self.run_args = data, arguments, run
        path = Path(run.output_dir)
        if path.exists() and not path.is_dir():
            raise UserError(f"--output_dir '{path}' is a file; give a directory")
        others = [entry for entry in path.iterdir() if not entry.name.startswith(".")] if path.is_dir() else []
        if others and not (path / STUDY_FILE).is_file():
            raise UserError(f"'{path}' holds files that are not a study; give another --output_dir")
        self.name = data.task or Path(data.dataset or path).stem
        self.directory = StudyDirectory(path, make_plan(arguments, data, run.seed, given_sets))
        changed = self.directory.changed()
        if changed and not run.overwrite:
            names = ", ".join(cell.name for cell in changed[:3])
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise UserError(
                f"{names}{more} were run with other settings; pass --overwrite true to run them again, or another "
                "--output_dir"
            )
        self._results_written = time.monotonic()

    @property
    def cells(self) -> list[Cell]:
        return self.directory.cells

    @property
    def exists(self) -> bool:
        """Whether it has been started."""
        return (self.directory.path / STUDY_FILE).is_file()

    @property
    def methods(self) -> list[Method]:
        return self.args.chosen

    def states(self) -> dict[str, CellState]:
        """What is done, by what is on disk."""
        return {cell.name: self.directory.state(cell) for cell in self.cells}

    def estimates(self, states: dict[str, CellState] | None = None) -> dict[str, float | None]:
        """Seconds that every cell is likely to take, by name."""
        return estimates(self.cells, states or self.states(), self.args.rates)

    # ---- running ----

    def prepare(self) -> None:
        """
        Makes the directory and writes the plan.

        Raises:
            UserError: a command is left, and it has an option that it does not know, or the data cannot be loaded, are
                too few, or are not those of the commands that are done. That is said here, not by every command, or
                after hours by the last one.
        """
        states = self.states()
        left = [cell for cell in self.cells if states[cell.name].state != DONE]
        if left:
            self._check_options(left)
            spec, dataset = self.data.load(self.run_args.seed)
            self._check_rows(spec, dataset)
            done = [cell for cell in self.cells if states[cell.name].state == DONE]
            check_data(done, self.directory, fingerprints(dataset))
        self.directory.path.mkdir(parents=True, exist_ok=True)
        (self.directory.path / METADATA_FILE).unlink(missing_ok=True)
        self.write_plan(states)

    def _check_options(self, cells: Sequence[Cell]) -> None:
        from ..cli import COMMANDS

        stages = {cell.stage for cell in cells}
        parsers = {stage: importlib.import_module(COMMANDS[stage][0]).make_parser() for stage in stages}
        for cell in cells:
            try:
                parsers[cell.stage].check(self.directory.command(cell)[1:])
            except UserError as error:
                raise UserError(f"{cell.stage}: {error}") from error

    def _check_rows(self, spec: TaskSpec, dataset: DatasetDict) -> None:
        split_of(dataset, self.args.split)
        if any(method.makes_sets or method.name == "random" for method in self.methods):
            check_classes(dataset["train"]["label"], spec, max(self.args.dpc))

    def run(self, on_change: Callable[[Cell, CellState, dict[str, CellState]], None]) -> list[Cell]:
        """
        Runs what is not done.

        Args:
            on_change: Called with a cell, its new state and the states of all cells.

        Returns:
            The cells that failed.
        """

        def changed(cell: Cell, state: CellState) -> None:
            on_change(cell, state, runner.states)
            self.write_plan(runner.states)
            if state.state == DONE and time.monotonic() - self._results_written > WRITE_SECONDS:
                try:
                    self.write_results()
                except UserError as error:  # the cells that run are not to end with it
                    warn(f"no results yet: {error}")

        runner = StudyRunner(self.directory, self.args.num_workers, changed)
        try:
            states = runner.run()
        finally:
            self.write_plan(runner.states)
        return [cell for cell in self.cells if states[cell.name].state == FAILED]

    # ---- files ----

    def write_plan(self, states: dict[str, CellState]) -> None:
        """Writes `study.json`."""
        expected = self.estimates(states)
        cells = []
        for cell in self.cells:
            state = states[cell.name]
            cells.append(
                {
                    "name": cell.name,
                    "command": redact(self.directory.command(cell)),
                    "stage": cell.stage,
                    "method": cell.method,
                    "seed": cell.seed,
                    "dpc": cell.dpc,
                    "needs": list(cell.needs),
                    **vars(state),
                    "estimated_seconds": expected[cell.name],
                }
            )
        fields = {f.name: getattr(self.args, f.name) for f in dataclasses.fields(self.args)}
        content = {
            "version": VERSION,
            "name": self.name,
            "task": self.name,
            "label_names": self._label_names(states),
            "arguments": redact({**dataclasses.asdict(self.data), **fields, "seed": self.run_args.seed}),
            "methods": [
                {"name": method.name, "title": method.title, "about": method.about, "kind": method.kind}
                for method in self.methods
            ],
            "cells": cells,
        }
        write_json(self.directory.path / STUDY_FILE, content)

    def write_results(self) -> dict[str, Any]:
        """
        Writes `results.json` from what is done, and `metadata.json` once everything is. Returns the results.

        Raises:
            UserError: a result cannot be read, or results are about different data or queries.
        """
        states = self.states()
        facts = {
            "name": self.name,
            "task": self.name,
            "label_names": self._label_names(states),
            "generator": self.args.generator,
            "learner": self.args.learner,
            "model": self.args.model,
            "split": self.args.split,
        }
        results = StudyResults(self.directory, self.args, states).as_dict(facts)
        write_readable_json(self.directory.path / RESULTS_FILE, results)
        self._results_written = time.monotonic()
        if not results["missing"]:
            record = run_metadata("study", [self.data, self.args, self.run_args], task=self.name)
            write_json(self.directory.path / METADATA_FILE, record)
        return results

    def write_report(self) -> None:
        """Writes `report.html` and `figures/`; what stands in its way is said in one line, since the work is done."""
        from ..report import make_report

        path = self.directory.path
        try:
            page = make_report(path, path / "report.html", figures=path / "figures", overwrite=True)
            say(f"report: {page}")
        except UserError as error:
            say(f"no report: {error}")

    def _label_names(self, states: dict[str, CellState]) -> list[str] | None:
        for cell in self.cells:
            results = self.directory.output(cell.name) / "results.json"
            if cell.stage == "evaluate-icl" and states[cell.name].state == DONE and results.is_file():
                return read_json(results).get("label_names")
        return None
