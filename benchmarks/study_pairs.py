# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Compares methods, of one study or of several on the same queries, over all training seeds and seed by seed.

    python benchmarks/study_pairs.py --dpc 5 10 \\
        --pair runs/sst2/study_gentle_cpu:ddg runs/sst2/study_gentle_cpu:lm_only \\
        --pair runs/sst2/study_gentle_cpu:ddg runs/sst2/study_cpu:ddg

Prints JSON: for each pair and number of rows per class the difference of accuracy in context, first less second, in
points, raw and batch-calibrated, with an interval as in a study's comparisons (of another resampling); and the
difference of each training seed that both have.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from ddg_hf.errors import UserError
from ddg_hf.evaluation.comparison import Evaluation, check_comparable, load_evaluation
from ddg_hf.study.comparisons import Side, compare_sides

KINDS = ("raw", "calibrated")


def source(text: str) -> tuple[Path, str]:
    """The directory of a study and a method, of `STUDY:METHOD`."""
    study, colon, method = text.rpartition(":")
    if not colon:
        raise UserError(f"'{text}' is not STUDY:METHOD, such as runs/sst2/study:ddg")
    return Path(study), method


def load_side(study: Path, method: str, dpc: int, kind: str) -> tuple[Side, Evaluation]:
    """
    The sets of a method in a study, of all its training seeds, and the first of their evaluations.

    Raises:
        UserError: there is no evaluation of it, or they are of different data or queries.
    """
    cells = study / "cells" / "icl" / method
    found = sorted(cells.glob(f"seed_*/dpc_{dpc}")) or [cells / f"dpc_{dpc}"]
    evaluations = [load_evaluation(str(cell), kind) for cell in found]
    groups = [group for evaluation in evaluations for group in evaluation.groups.values()]
    if len(groups) > len(evaluations):
        raise UserError(f"'{cells}' has evaluations with several numbers of rounds; compare these with ddg-hf compare")
    for evaluation, group in zip(evaluations, groups, strict=True):
        check_comparable(evaluations[0], evaluation)
        if not np.array_equal(group.queries_Q, groups[0].queries_Q):
            raise UserError(f"'{evaluations[0].name}' and '{evaluation.name}' were tested on different queries")
    names = [cell.parent.name for cell in found]  # real rows have no training seed
    seeds = [int(name.removeprefix("seed_")) if name.startswith("seed_") else 0 for name in names]
    side = Side(
        np.concatenate([group.correct_SQ for group in groups]),
        np.repeat(seeds, [len(group.correct_SQ) for group in groups]),
        groups[0].queries_Q,
    )
    return side, evaluations[0]


def by_seed(first: Side, second: Side) -> dict[int, float]:
    """The difference of means, in points, of each training seed that both sides have."""
    common = sorted(set(first.seeds_S.tolist()) & set(second.seeds_S.tolist()))
    means = [[side.correct_SQ[side.seeds_S == seed].mean() for seed in common] for side in (first, second)]
    return {seed: round(100 * (a - b), 2) for seed, a, b in zip(common, *means, strict=True)}


def compare(first: tuple[Path, str], second: tuple[Path, str], dpcs: list[int]) -> list[dict]:
    """A row for each number of rows per class and kind of predictions."""
    rows = []
    for dpc in dpcs:
        for kind in KINDS:
            sides, evaluations = zip(*(load_side(*side, dpc, kind) for side in (first, second)), strict=True)
            check_comparable(*evaluations)
            (row,) = compare_sides({"second": sides[1], "first": sides[0]})
            points = {key: round(100 * value, 2) for key, value in row["difference"].items()}
            one = {"dpc": dpc, "accuracy": kind, "num_sets": [len(side.seeds_S) for side in sides]}
            rows.append(one | {"difference": points, "p_value": row["p_value"], "by_seed": by_seed(*sides)})
    return rows


def main() -> int:
    """Compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=2, metavar="STUDY:METHOD", action="append", required=True)
    parser.add_argument("--dpc", type=int, nargs="+", required=True)
    options = parser.parse_args()
    try:
        pairs = [{"pair": pair, "rows": compare(*map(source, pair), options.dpc)} for pair in options.pair]
    except UserError as error:
        parser.error(str(error))
    print(json.dumps(pairs, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
