# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Write distilled sets in the formats of other tools.

    ddg-hf export runs/sst2/distilled --config dpc_5 --format prompt --output prompt.txt

What each format holds and how it is loaded: docs/exports.md. The first set is exported unless --set names another.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ddg_hf.errors import UserError

FORMATS = {"prompt": "the text that comes before a query in a prompt"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise UserError(message)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses and checks the command line. Raises `UserError` if something in it is wrong."""
    parser = _Parser(prog="ddg-hf export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", help="directory of distilled sets")
    listed = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    parser.add_argument("--format", required=True, choices=list(FORMATS), help=listed)
    parser.add_argument("--config", help="configuration, such as dpc_5 (default: the only one)")
    parser.add_argument("--set", type=int, help="number of the set (default: the first)")
    parser.add_argument("--rounds", type=int, help="rows per class (default: all)")
    parser.add_argument("--seed", type=int, default=42, help="seed of the order (default: 42)")
    parser.add_argument(
        "--order",
        choices=["interleaved", "sorted"],
        default="interleaved",
        help="one row of each class after the other, or class by class (default: interleaved)",
    )
    parser.add_argument("--output", help="file or directory to write (default for files: standard output)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    arguments = parser.parse_args(argv)
    if arguments.rounds is not None and arguments.rounds < 1:
        raise UserError(f"--rounds must be at least 1, got {arguments.rounds}")
    return arguments


def write_file(output: str | None, overwrite: bool, text: str) -> None:
    """Writes a file whole or not at all, or to standard output without `output`."""
    from ddg_hf.evaluation.results import atomic_file

    if output is None:
        sys.stdout.write(text)
        return
    path = Path(output).expanduser()
    if path.is_dir():
        raise UserError(f"--output '{path}' is a directory; give a file")
    if path.exists() and not overwrite:
        raise UserError(f"'{path}' exists; pass --overwrite to replace it or another --output")
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    print(f"written: {path}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Exports what `argv` (default: the command line) names. Returns the exit code."""
    arguments = parse(argv)

    from ddg_hf.evaluation.icl.prompts import PromptTemplate
    from ddg_hf.exports.sets import choose_config, choose_set, in_prompt_order
    from ddg_hf.formats.directory import open_distilled

    directory = open_distilled(arguments.directory)
    config = choose_config(directory, arguments.config)
    sets = directory.sets(config)
    number = choose_set(sets, arguments.set)
    if arguments.set is None and len(sets) > 1:
        print(f"{config} has {len(sets)} sets; this is set {number} (--set chooses another)", file=sys.stderr)
    spec = directory.spec
    rows = in_prompt_order(sets[number], config, spec.num_labels, arguments.rounds, arguments.seed, arguments.order)
    write_file(arguments.output, arguments.overwrite, PromptTemplate.from_task(spec).prefix(rows))
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
