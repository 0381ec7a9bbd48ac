# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Does the match of the gradients go with accuracy in context, if it is measured at another learner than the study's?

    python benchmarks/gradient_transfer.py --study runs/sst2/study_cpu --task sst2 --data_dir data \\
        --learner "$(ddg-hf models --path gemma)" --dpc 5 10 --real_per_class 100 --snapshots 5 --snapshot_steps 10 \\
        --snapshot_batch_size 32

Takes all sets below `cells/sets` of a study (and those that were given to it) which the study has measured and
evaluated in context, and computes their gradient cosines at `--learner`, such as the in-context model itself. Prints
one JSON object: rank correlations of the cosine with accuracy within method, training seed and rows per class, at the
study's learner and at the other; the rank correlation of the two cosines; and means of each method.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ddg_hf.configs import DataArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError
from ddg_hf.evaluation.learner_snapshots import SnapshotArguments

KINDS = ("raw", "calibrated")


@dataclass
class TransferArguments:
    """
    Which sets are measured.

    Parameters:
        study (`str`): Directory of the study.
        dpc (`list[int]`, *optional*): Rows per class; all by default.
        real_per_class (`int`, *optional*, defaults to `200`): Real rows per label in the teacher set.
    """

    study: str | None = field(default=None, metadata={"help": "Directory of the study."})
    dpc: list[int] | None = field(default=None, metadata={"help": "Rows per class (default: all)."})
    real_per_class: int = field(default=200, metadata={"help": "Real rows per label in the teacher set."})

    def __post_init__(self):
        if self.study is None:
            raise UserError("--study is missing: give the directory that `ddg-hf study` made")


@dataclass
class Group:
    """Sets of one method, training seed and number of rows per class, in the order of their numbers."""

    name: str
    dpc: int
    sets: list
    study_cosines: list[float]
    accuracies: dict[str, list[float]]


def read_groups(study: Path, spec, dpc: list[int] | None, seed: int) -> list[Group]:
    """The sets that the study has measured and evaluated, as far as they are there."""
    from ddg_hf.evaluation.comparison import load_evaluation
    from ddg_hf.evaluation.demonstrations import select_sets

    found = []
    for file in sorted((study / "cells" / "measure").rglob("measures.json")):
        where = file.parent.relative_to(study / "cells" / "measure")
        sets = study / "cells" / "sets" / where
        if not sets.is_dir():
            sets = Path(json.loads((file.parent / "metadata.json").read_text())["arguments"]["distilled"])
        if not sets.is_dir():
            print(f"'{where}' is left out: its sets are not in '{sets}'", file=sys.stderr)
            continue
        for entry in json.loads(file.read_text())["configs"]:
            n, evaluation = entry["dpc"], study / "cells" / "icl" / where / f"dpc_{entry['dpc']}"
            if (dpc and n not in dpc) or not (evaluation / "metadata.json").is_file():
                continue
            numbers = sorted(entry["sets"])
            members = {member.set_id: member for member in select_sets(spec, [], str(sets), None, [n], None, seed)[n]}
            cosines = dict(zip(entry["sets"], entry["gradient_cosine"], strict=True))
            right = {}
            for kind in KINDS:
                (group,) = load_evaluation(str(evaluation), kind).groups.values()
                right[kind] = group.correct_SQ.mean(axis=1).tolist()
                if len(right[kind]) != len(numbers):
                    raise UserError(f"'{evaluation}' has other sets than '{file.parent}'; run the study again")
            rows = [members[number].rows for number in numbers]
            found.append(Group(where.as_posix(), n, rows, [cosines[number] for number in numbers], right))
    return found


def cosines_at(everything, spec, dataset, groups: list[Group]) -> list[list[float]]:
    """Gradient cosines of the sets of all groups at the other learner, all at the same states of it."""
    import torch

    from ddg_hf.data.rows import rows_and_labels
    from ddg_hf.evaluation.learner_snapshots import gradient_cosines
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.models.learner import Learner
    from ddg_hf.selection.teacher_sets import build_teacher_set

    _, learner_args, arguments, snapshot_args, run_args = everything
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows, labels = rows_and_labels(dataset["train"], spec)
    embeddings_NH = TextEncoder(learner_args, rows=rows, device=device).embed(rows)
    teacher = build_teacher_set(embeddings_NH, labels, spec.num_labels, arguments.real_per_class, seed=run_args.seed)
    learner = Learner.load(learner_args, spec.num_labels, rows, device=device)
    every = [members for group in groups for members in group.sets]
    values = iter(gradient_cosines(learner, (rows, labels), teacher, every, snapshot_args, run_args.seed).tolist())
    return [[next(values) for _ in group.sets] for group in groups]


def correlation(pairs) -> dict | None:
    """Rank correlation within groups, as JSON."""
    from ddg_hf.evaluation.rank_correlation import rank_correlation_within

    found = rank_correlation_within(pairs)
    if found is None:
        return None
    counts = {"num_groups": found.num_groups, "num_sets": found.num_sets}
    return found.correlation.as_dict() | {"p_value": found.p_value} | counts


def main(argv: list[str] | None = None) -> None:
    parser = RecipeParser((DataArguments, LearnerArguments, TransferArguments, SnapshotArguments, RunArguments))
    everything = parser.parse(argv)
    data_args, learner_args, arguments, _, run_args = everything
    spec, dataset = data_args.load(seed=run_args.seed)
    groups = read_groups(Path(arguments.study), spec, arguments.dpc, run_args.seed)
    if not groups:
        raise UserError(f"'{arguments.study}' has no sets that are there, measured and evaluated; run its study first")
    others = cosines_at(everything, spec, dataset, groups)
    # One set many times has no ranks: what differs there is rounding.
    ranked = [(mine, g) for mine, g in zip(others, groups, strict=True) if any(rows != g.sets[0] for rows in g.sets)]
    accuracy = {
        kind: {
            "study_learner": correlation([(group.study_cosines, group.accuracies[kind]) for _, group in ranked]),
            "learner": correlation([(mine, group.accuracies[kind]) for mine, group in ranked]),
        }
        for kind in KINDS
    }
    cosines = correlation([(mine, group.study_cosines) for mine, group in ranked])
    means = [
        {
            "sets": group.name,
            "dpc": group.dpc,
            "num_sets": len(mine),
            "study_learner": float(np.mean(group.study_cosines)),
        }
        | {"learner": float(np.mean(mine))}
        | {kind: float(np.mean(group.accuracies[kind])) for kind in KINDS}
        for mine, group in zip(others, groups, strict=True)
    ]
    result = {"command": "python benchmarks/gradient_transfer.py", "learner": Path(learner_args.learner).name}
    print(json.dumps(result | {"with_accuracy": accuracy, "with_each_other": cosines, "means": means}, indent=2))


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
