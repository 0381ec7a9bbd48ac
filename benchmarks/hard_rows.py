# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Do rows that a classifier finds hard make better demonstrations? Balanced random rows of three difficulties, tested on
validation rows.

    python benchmarks/hard_rows.py --task sst2 --data_dir data --learner "$(ddg-hf models --path minilm)" \\
        --model "$(ddg-hf models --path gemma)" --dpc 5 10 --num_sets 20 --test_number 200 \\
        --output_dir runs/sst2/hard_rows

A logistic regression on the embeddings of the learner says how probable the label of each training row is, with five
folds, so that no row is predicted by a classifier that has seen it. Within each label rows are sorted by that into
three parts of the same size, and the sets of each difficulty are drawn from one. What is evaluated is not evaluated
again. Prints one JSON object.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ddg_hf.configs import DataArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError

DIFFICULTIES = ("hard", "middle", "easy")


@dataclass
class HardRowsArguments:
    """
    What is drawn, and what the sets are tested with.

    Parameters:
        model (`str`): In-context model.
        dpc (`list[int]`): Rows per label.
        num_sets (`int`, *optional*, defaults to `20`): Sets of each difficulty.
        pool (`int`, *optional*, defaults to `4000`): Training rows that are drawn from.
        test_number (`int`, *optional*, defaults to `200`): Validation rows.
    """

    model: str | None = field(default=None, metadata={"help": "In-context model."})
    dpc: list[int] = field(default_factory=lambda: [5], metadata={"help": "Rows per label."})
    num_sets: int = field(default=20, metadata={"help": "Sets of each difficulty."})
    pool: int = field(default=4000, metadata={"help": "Training rows that are drawn from."})
    test_number: int = field(default=200, metadata={"help": "Validation rows."})


def label_probabilities(embeddings_NH, labels_N, seed: int):
    """The probability of each row's label, `[N]`, by classifiers that have not seen the row."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    labels_N = np.asarray(labels_N)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    classifier = LogisticRegression(max_iter=1000)
    classes, columns_N = np.unique(labels_N, return_inverse=True)
    found_NK = cross_val_predict(classifier, embeddings_NH, labels_N, cv=folds, method="predict_proba")
    assert found_NK.shape[1] == len(classes)
    return found_NK[np.arange(len(labels_N)), columns_N]


def thirds(probabilities_N, labels_N) -> dict[str, dict[int, list[int]]]:
    """Rows of each difficulty and label."""
    import numpy as np

    found: dict[str, dict[int, list[int]]] = {name: {} for name in DIFFICULTIES}
    for label in sorted(set(labels_N)):
        mine = np.flatnonzero(np.asarray(labels_N) == label)
        ordered = mine[np.argsort(np.asarray(probabilities_N)[mine], kind="stable")]
        for name, part in zip(DIFFICULTIES, np.array_split(ordered, 3), strict=True):
            found[name][int(label)] = part.tolist()
    return found


def write_sets(everything, output_dir: Path) -> None:
    """Writes a directory of sets for every difficulty, and what the classifiers say of each."""
    import numpy as np

    from ddg_hf.data.rows import DistilledRow, fingerprints, rows_and_labels
    from ddg_hf.data.samplers import stable_seed
    from ddg_hf.formats.distilled import write_distilled
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.provenance import atomic_directory, run_metadata, write_json

    data_args, learner_args, arguments, run_args = everything
    spec, dataset = data_args.load(seed=run_args.seed)
    rows, labels = rows_and_labels(dataset["train"], spec)
    drawn = np.random.default_rng(run_args.seed).permutation(len(rows))[: arguments.pool].tolist()
    rows, labels = [rows[i] for i in drawn], [labels[i] for i in drawn]
    probabilities_N = label_probabilities(TextEncoder(learner_args, rows=rows).embed(rows), labels, run_args.seed)
    for name, by_label in thirds(probabilities_N, labels).items():
        sets: dict[int, list[DistilledRow]] = {n: [] for n in arguments.dpc}
        for n, members in sets.items():
            for number in range(arguments.num_sets):
                # A set of each difficulty has the same random numbers.
                rng = np.random.default_rng(stable_seed(run_args.seed, "hard_rows", n, number))
                for label, part in by_label.items():
                    members += [
                        DistilledRow(rows[part[k]], label, number, float("nan"))
                        for k in rng.permutation(len(part))[:n]
                    ]
        every = [i for part in by_label.values() for i in part]
        facts = {
            "label_likelier_than_not": float((probabilities_N[every] > 0.5).mean()),
            "words": float(np.mean([len(" ".join(rows[i]).split()) for i in every])),
        }
        metadata = run_metadata("select", list(everything), task=spec.name, data_fingerprint=fingerprints(dataset))
        with atomic_directory(output_dir / name) as directory:
            write_distilled(directory, sets, spec, metadata)
            write_json(directory / "difficulty.json", facts)


def differences(output_dir: Path) -> list[dict]:
    """Hard and middle rows less easy ones, paired by query."""
    from ddg_hf.evaluation.comparison import load_evaluation
    from ddg_hf.evaluation.statistics import paired_difference

    found = []
    for kind in ("raw", "calibrated"):
        groups = {name: load_evaluation(str(output_dir / f"icl_{name}"), kind).groups for name in DIFFICULTIES}
        for key, easy in groups["easy"].items():
            for name in DIFFICULTIES[:2]:
                interval = paired_difference(groups[name][key].correct_SQ, easy.correct_SQ).as_dict()
                found.append({"prediction": kind, "dpc": key[0], "rows": name, "minus": "easy", **interval})
    return found


def main(argv: list[str] | None = None) -> None:
    from validation import evaluate_once

    parser = RecipeParser((DataArguments, LearnerArguments, HardRowsArguments, RunArguments))
    everything = parser.parse(argv)
    data_args, _, arguments, run_args = everything
    if arguments.model is None or run_args.output_dir is None:
        raise UserError("--model and --output_dir are needed: the in-context model, and where the sets go")
    output_dir = Path(run_args.output_dir)
    if not all((output_dir / name / "metadata.json").is_file() for name in DIFFICULTIES):
        write_sets(everything, output_dir)
    found = []
    for name in DIFFICULTIES:
        sets, results = output_dir / name, output_dir / f"icl_{name}"
        facts = json.loads((output_dir / name / "difficulty.json").read_text())
        for entry in evaluate_once(
            sets, results, data_args.task, data_args.data_dir, arguments.model, arguments.test_number
        ):
            row = {"rows": name, "dpc": entry["dpc"], "sets": entry["num_sets"], "queries": entry["num_queries"]}
            found.append(row | facts | {"raw": entry["accuracy"], "calibrated": entry["calibrated_accuracy"]})
    print(
        json.dumps(
            {"command": "python benchmarks/hard_rows.py", "rows": found, "differences": differences(output_dir)},
            indent=2,
        )
    )


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
