# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Convert labelled texts from any format to any other.

    ddg-hf convert reviews.csv reviews.parquet --text_columns review --label_column stars --label_names low,mid,high
    ddg-hf convert dataset_0.json dataset_0.parquet --task sst2
    ddg-hf convert DiLM-synthetic-data/sst2/dilm.dc published/sst2 --task sst2

IN is a file by the end of its name, or a directory with one such file:

    .jsonl .json      JSON Lines or a JSON array (whichever it holds)
    .csv .tsv         with a header
    .parquet
    .arrow .arrows    Arrow IPC file or stream (whichever it is)
    a directory       that `Dataset.save_to_disk` wrote

or a directory of sets that DiLM or DDG published (`dpc_<n>*/dataset/dataset_<i>.json` or `dpc_<n>/dataset_<i>.json`).

OUT is written by the end of its name: .jsonl, .json (an array), .csv, .tsv, .parquet, .arrow (IPC file), .arrows (IPC
stream). A name without one is a directory: of `Dataset.save_to_disk`; for published sets one of distilled sets, with
`dpc_<n>/train.parquet`.

The label column (`label` or `labels`, or what --label_column says) becomes `label`. Parquet, Arrow and directories
hold label ids with their names; in JSON, CSV and TSV a label is written as its name, if the names are known.
"""

import sys
from collections.abc import Sequence

from ddg_hf.command_line import ArgumentParser


def _names(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def main(argv: Sequence[str] | None = None) -> int:
    """Converts what `argv` (default: the command line) names. Returns the exit code."""
    parser = ArgumentParser(prog="ddg-hf convert", description=__doc__)
    parser.add_argument("source", metavar="IN", help="file or directory with labelled texts")
    parser.add_argument("target", metavar="OUT", help="file or directory to write")
    parser.add_argument("--task", help="registered task whose text columns and label names the texts have")
    parser.add_argument(
        "--text_columns", type=_names, help="text columns, comma-separated; others are left out (default: keep all)"
    )
    parser.add_argument("--label_column", help="label column (default: label or labels)")
    parser.add_argument(
        "--label_names", type=_names, help="label names in the order of the ids, comma-separated (default: the file's)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    arguments = vars(parser.parse_args(argv))

    from ddg_hf.formats.convert import Conversion, convert
    from ddg_hf.terminal import result, say

    overwrite = arguments.pop("overwrite")
    done = convert(Conversion(**arguments), overwrite)
    names = done.label_names or ()
    labels = f"; labels {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else ""
    say(f"{done.rows} rows in {done.path}: {', '.join(done.columns)}{labels}")
    result(
        {
            "command": "convert",
            "output": str(done.path),
            "rows": done.rows,
            "columns": done.columns,
            "label_names": done.label_names,
        }
    )
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
