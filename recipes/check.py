# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Check distilled sets for copies of real rows, broken texts, personal data, balance and variety.

    ddg-hf check runs/sst2/generate --task sst2 --learner sentence-transformers/all-MiniLM-L6-v2
    ddg-hf check runs/tickets/distilled --train tickets.csv --fail_on copies personal_data

Writes `checks.json` into the directory (unless a fuller report of the same rows is there) and prints a table;
docs/checks.md says what each check looks for. With real rows (`--task`, or `--train`, `--validation` and `--test`
files) the sets are compared with them; with `--learner` a classifier fitted to the training rows says whether the
texts have the labels that they carry. The exit code is 1 if a check named by `--fail_on` finds something.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ddg_hf.command_line import ArgumentParser
from ddg_hf.errors import UserError, closest
from ddg_hf.quality import CHECKS, CHECKS_FILE
from ddg_hf.quality.checks import NEED_LEARNER, NEED_REAL_ROWS


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="ddg-hf check", description=__doc__)
    file = os.path.expanduser
    parser.add_argument("directory", type=file, help="directory of distilled sets")
    parser.add_argument("--task", help="task whose real rows the sets are compared with, e.g. sst2")
    parser.add_argument("--data_dir", help="directory with <task>/{train,validation,test}.parquet (default: the Hub)")
    for split in ("train", "validation", "test"):
        parser.add_argument(
            f"--{split}", type=file, metavar="FILE", help=f"file of real {split} rows, instead of --task"
        )
    parser.add_argument("--learner", help="Hub id or directory of an encoder, or 'tiny', for the check of the labels")
    parser.add_argument("--fail_on", nargs="+", default=[], metavar="NAME", help=f"any, {', '.join(CHECKS)}")
    parser.add_argument(
        "--output", type=file, metavar="FILE", help="where the result goes (default: checks.json in the directory)"
    )
    parser.add_argument("--examples", type=int, default=5, help="findings listed of each check (default: 5)")
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the arguments. Raises `UserError` if one is unknown, or they do not fit together."""
    arguments = _parser().parse_args(argv)
    for name in arguments.fail_on:
        if name != "any" and name not in CHECKS:
            known = ["any", *CHECKS]
            raise UserError(f"--fail_on: no check '{name}'.{closest(name, known)} There are {', '.join(known)}.")
    files = [split for split in ("train", "validation", "test") if getattr(arguments, split) is not None]
    if arguments.task and files:
        raise UserError(f"give --task or --{files[0]}, not both")
    if arguments.data_dir and not arguments.task:
        raise UserError("--data_dir goes with --task")
    compared = bool(arguments.task or files)
    if arguments.learner and not (arguments.task or {"train", "validation"} <= set(files)):
        raise UserError("--learner is fitted to training rows and tested: give --task, or --train and --validation")
    for name in arguments.fail_on:
        if name in NEED_REAL_ROWS and not compared:
            raise UserError(f"--fail_on {name} needs real rows: give --task or --train")
        if name in NEED_LEARNER and not arguments.learner:
            raise UserError(f"--fail_on {name} needs a classifier: give --learner")
    if arguments.examples < 0:
        raise UserError(f"--examples must not be negative, got {arguments.examples}")
    if arguments.output:
        _check_output(arguments, files)
    return arguments


def _check_output(arguments: argparse.Namespace, files: Sequence[str]) -> None:
    """Raises `UserError` if the result would replace the sets or the real rows."""
    output, sets = Path(arguments.output).resolve(), Path(arguments.directory).resolve()
    read = [Path(getattr(arguments, split)).resolve() for split in files]
    if output in read or (output.is_relative_to(sets) and output != sets / CHECKS_FILE and output.exists()):
        raise UserError(f"--output '{arguments.output}' would replace what is checked; give another name")


def _real_rows(arguments: argparse.Namespace, directory) -> dict:
    """Loads the real rows: for each split its texts and, where a classifier needs them, label ids."""
    from ddg_hf.data.loading import load_data
    from ddg_hf.data.rows import rows_and_labels
    from ddg_hf.quality.real_rows import read_real_rows

    spec = directory.spec
    if arguments.task:
        # The validation rows that the run set aside, where there is no validation split.
        made_with = directory.metadata.get("arguments")
        seed = made_with.get("seed") if isinstance(made_with, dict) else None
        task, dataset = load_data(arguments.task, arguments.data_dir, seed=seed if isinstance(seed, int) else 42)
        if (sorted(task.text_columns), task.label_names) != (sorted(spec.text_columns), spec.label_names):
            raise UserError(f"the columns or labels of '{arguments.directory}' are not those of '{task.name}'")
        return {split: rows_and_labels(rows, spec) for split, rows in dataset.items()}
    files = {split: getattr(arguments, split) for split in ("train", "validation", "test")}
    labelled = arguments.learner is not None
    return {
        split: read_real_rows(file, spec, labelled and split != "test")
        for split, file in files.items()
        if file is not None
    }


def _probe(learner: str, train):
    from ddg_hf.configs import LearnerArguments
    from ddg_hf.evaluation.label_control import LabelProbe
    from ddg_hf.models.encoder import TextEncoder

    texts, labels = train
    if len(set(labels)) < 2:
        raise UserError("all training rows have one label; a classifier needs rows of two or more")
    return LabelProbe(TextEncoder(LearnerArguments(learner=learner), rows=texts), texts, labels)


def _keep(path: Path, checks: dict, directory) -> bool:
    """Whether a file holds a report of the same rows that has more checks or comparisons than this one."""
    from ddg_hf.quality import is_current, is_fuller

    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        return is_current(old, directory) and is_fuller(old, checks)
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return False  # none, or none that this version wrote


def main(argv: Sequence[str] | None = None) -> int:
    """Checks the sets that `argv` (default: the command line) names. Returns the exit code."""
    arguments = _parse(argv)

    from ddg_hf.evaluation.results import write_readable_json
    from ddg_hf.formats.directory import open_distilled
    from ddg_hf.quality import found_by, run_checks
    from ddg_hf.quality.terminal import print_checks
    from ddg_hf.terminal import result, say, warn

    directory = open_distilled(arguments.directory)
    real = _real_rows(arguments, directory)
    probe = _probe(arguments.learner, real["train"]) if arguments.learner else None
    checks = run_checks(directory, real, probe, max_examples=arguments.examples)
    path = Path(arguments.output) if arguments.output else directory.path / CHECKS_FILE
    kept = not arguments.output and _keep(path, checks, directory)
    try:
        if not kept:
            write_readable_json(path, checks)
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}") from error
    print_checks(checks, directory, {split: rows for split, (rows, _) in real.items()})
    say(f"checks: {path}" + (", kept as it is, since it has more checks of these rows" if kept else ""))
    result(checks)
    found = found_by(checks, arguments.fail_on)
    if found:
        warn(f"found something: {', '.join(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
