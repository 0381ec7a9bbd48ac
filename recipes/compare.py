# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Compare two evaluations of the same queries.

    ddg-hf compare runs/sst2/icl/results.json runs/sst2/icl_balanced/results.json --prediction calibrated

Prints, for every number of demonstrations per class that both have, the difference of the accuracies (first minus
second) with a 95 % interval of the crossed bootstrap over sets and queries, and the p-value of a paired permutation
test over the queries, by itself and after Holm's correction for the number of rows. Directories may be given instead.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from ddg_hf.command_line import ArgumentParser
from ddg_hf.errors import UserError
from ddg_hf.evaluation.comparison import PREDICTION_COLUMNS, compare
from ddg_hf.evaluation.results import write_readable_json
from ddg_hf.terminal import result, say, table


def report(comparison: dict) -> None:
    """Prints one line for each pair of numbers of demonstrations."""

    def points(entry: dict) -> str:
        mean, low, high = (round(100 * entry[name], 1) + 0.0 for name in ("mean", "low", "high"))  # no -0.0
        return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"

    def demonstrations(row: dict, side: str) -> str:
        dpc, rounds = row[f"dpc_{side}"], row[f"rounds_{side}"]
        return str(dpc) if rounds == dpc else f"{dpc} ({rounds} rounds)"

    title = f"{comparison['task']}, {comparison['prediction']} predictions: accuracy in %, difference in points"
    rows = [
        [
            demonstrations(row, "a"),
            demonstrations(row, "b"),
            f"{row['num_sets_a']}, {row['num_sets_b']}",
            str(row["num_queries"]),
            *(f"{100 * row[f'accuracy_{side}']['mean']:.1f}" for side in "ab"),
            points(row["difference"]),
            f"{row['p_value']:.4f}",
            f"{row['p_value_holm']:.4f}",
        ]
        for row in comparison["rows"]
    ]
    say(f"a: {comparison['a']}")
    say(f"b: {comparison['b']}")
    columns = ("dpc a", "dpc b", "sets", "queries", "a", "b", "a - b, 95 % interval", "p", "p (Holm)")
    table(columns, rows, title, left=(), keys=2)
    for row in comparison["rows"]:
        if row["num_unpaired"]:
            say(
                f"dpc {demonstrations(row, 'a')} and {demonstrations(row, 'b')}: the {row['num_queries']} queries "
                f"that both have are used; {row['num_unpaired']} are in one of them only"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Compares the two evaluations that `argv` (default: the command line) names. Returns the exit code."""
    parser = ArgumentParser(prog="ddg-hf compare", description=__doc__)
    parser.add_argument("a", help="results.json of an evaluation, or its directory")
    parser.add_argument("b", help="the same of the evaluation to compare with")
    parser.add_argument(
        "--prediction", choices=list(PREDICTION_COLUMNS), default="raw", help="kind of predictions (default: raw)"
    )
    parser.add_argument("--output", help="JSON file for the comparison")
    parser.add_argument(
        "--num_permutations", type=int, default=10_000, help="sign patterns of the permutation test (default: 10000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the resampling (default: 0)")
    arguments = parser.parse_args(argv)
    if arguments.num_permutations < 1:
        raise UserError(f"--num_permutations must be at least 1, got {arguments.num_permutations}")
    if arguments.seed < 0:
        raise UserError(f"--seed must not be negative, got {arguments.seed}")

    comparison = compare(arguments.a, arguments.b, arguments.prediction, arguments.num_permutations, arguments.seed)
    if arguments.output is not None:
        write_readable_json(Path(arguments.output), comparison)
    report(comparison)
    result({"command": "compare", **comparison})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
