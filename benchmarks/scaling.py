# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
What the measured seconds of a step imply for many processes, as the rows of a Markdown table (docs/scaling.md).

    python benchmarks/scaling.py docs/results/gradient_matching.json

A step takes t_learner + (t_match + t_generator) / N. Fresh trajectories keep nine tenths of their learner, as the
first of ten updates has none; stored ones read a file. Communication is left out.
"""

import argparse
import json
from pathlib import Path


def step_seconds(seconds: dict[str, float], learner: float, processes: int) -> float:
    """Seconds of a step on N processes from those of its phases on one; `learner` is the part that stays."""
    return learner * seconds["learner"] + (seconds["match"] + seconds["generator"]) / processes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measured = Path(__file__).parents[1] / "docs/results/gradient_matching.json"
    parser.add_argument("result", type=Path, nargs="?", default=measured, help="what gradient_matching.py printed")
    seconds = json.loads(parser.parse_args().result.read_text())["seconds"]
    kinds = ((seconds["ours_fresh"], 0.9), (seconds["ours_stored"], 1.0))
    for processes in (1, 2, 4, 8, 16, 64):
        cells = []
        for phases, learner in kinds:
            taken = step_seconds(phases, learner, processes)
            cells.append(f"{taken:.1f} ({step_seconds(phases, learner, 1) / taken:.2g})")
        print(f"| {processes} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
