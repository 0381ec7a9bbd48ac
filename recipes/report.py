# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Write a report on a study or on runs: one page that opens in any browser, without a network.

    ddg-hf report runs/sst2 -o report.html
    ddg-hf report runs/sst2 -o report.html --figures paper --data_dir data

Shows what there is in the directory and below: accuracies with intervals, paired differences, curves of training,
costs, confusion matrices, the distilled samples with the training rows that are nearest to them, and the checks. The
training rows are those that the runs recorded, unless `--task`, `--data_dir` or `--train` says otherwise. `--figures`
writes every figure as PNG, SVG and CSV, and every table as CSV, Markdown and LaTeX. docs/report.md says how to read
the page.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from ddg_hf.command_line import ArgumentParser
from ddg_hf.errors import UserError
from ddg_hf.terminal import result, say


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the arguments. Raises `UserError` if one is unknown, or they do not fit together."""
    parser = ArgumentParser(prog="ddg-hf report", description=__doc__)
    file = os.path.expanduser
    parser.add_argument("source", type=file, help="directory of a study, a run, or several runs")
    parser.add_argument(
        "-o", "--output", type=file, default="report.html", metavar="FILE", help="the page (default: report.html)"
    )
    parser.add_argument(
        "--figures", type=file, metavar="DIR", help="directory for figures and tables for papers (default: none)"
    )
    parser.add_argument("--task", help="task whose training rows the samples are compared with")
    parser.add_argument("--data_dir", type=file, help="directory with <task>/train.parquet")
    parser.add_argument("--train", type=file, metavar="FILE", help="file of training rows, instead of a task")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    arguments = parser.parse_args(argv)
    if arguments.train is not None and (arguments.task is not None or arguments.data_dir is not None):
        raise UserError("give --train, or --task and --data_dir, not both")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the report that `argv` (default: the command line) asks for. Returns the exit code."""
    arguments = _parse(argv)

    from ddg_hf.report import make_report
    from ddg_hf.report.real_rows import TrainingRows

    training = TrainingRows(arguments.task, arguments.data_dir, arguments.train)
    page = make_report(arguments.source, arguments.output, training, arguments.figures, arguments.overwrite)
    say(f"report: {page}")
    if arguments.figures is not None:
        say(f"figures and tables: {arguments.figures}")
    result({"command": "report", "output": str(page), "figures": arguments.figures})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
