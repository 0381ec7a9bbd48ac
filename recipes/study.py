# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Does it work? Compare methods on a task: all of them with the same budget, queries and statistics.

    ddg-hf study --config recipes/sst2/study_cpu.yaml --data_dir data --output_dir runs/sst2/study

Runs methods x rows per class x seeds as a grid of commands, each in a process of its own. A command that is done is
not run again: the same command line goes on after a stop, with more methods, seeds or numbers of rows per class. What
it would do, how long that is likely to take, and the results of what is done:

    ddg-hf study --config recipes/sst2/study_cpu.yaml --data_dir data --output_dir runs/sst2/study --plan true

Several such command lines at the same time, also on machines with a common file system, divide the grid among them;
`--num_workers` does the same on one. Writes `study.json` (the plan and its state), `results.json` (a row for each
method and number of rows per class, paired comparisons, ranks) and, if matplotlib is installed, `report.html` and the
figures and tables of it in `figures/`: PNG, SVG, CSV, Markdown and LaTeX.
Exit code 1: some commands failed; the others are done, and the same command line tries them again.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from ddg_hf.configs import DataArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError
from ddg_hf.study.config import StudyArguments


@contextlib.contextmanager
def terminated_like_an_interrupt() -> Iterator[None]:
    """Makes a scheduler's request to end like Ctrl-C: the results of what is done are written."""

    def interrupt(*_):
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def main(argv: Sequence[str] | None = None) -> int:
    """Plans the study that `argv` (default: the command line) describes, and runs what is not done."""
    parser = RecipeParser((DataArguments, StudyArguments, RunArguments), prog="ddg-hf study")
    data_args, arguments, run_args = parser.parse(argv)
    if run_args.output_dir is None:
        raise UserError("--output_dir is missing: say where the study goes")

    from ddg_hf.study.study import Study
    from ddg_hf.study.terminal import StudyDisplay
    from ddg_hf.terminal import result

    study = Study(data_args, arguments, run_args)
    display = StudyDisplay(study)
    display.print_plan()
    summary = {"command": "study", "output_dir": run_args.output_dir}
    if arguments.plan:
        results = None
        if study.exists:
            study.write_plan(study.states())
            results = study.write_results()
            display.print_results(results)
        result(summary | {"plan": display.plan(), "rows": results and results["rows"]})
        return 0
    study.prepare()
    with terminated_like_an_interrupt():
        try:
            with display:
                failed = study.run(display.on_change)
        finally:  # also of a study that is interrupted
            results = study.write_results()
    display.print_results(results)
    study.write_report()
    failures = {"failed": [cell.name for cell in failed], "missing": results["missing"]}
    result(summary | failures | {"rows": results["rows"]})
    return 1 if failed else 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
