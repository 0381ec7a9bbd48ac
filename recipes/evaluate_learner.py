# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Train fresh classifiers on distilled sets, or on as many real rows, and test them on real rows.

    ddg-hf evaluate-learner --task sst2 --distilled runs/sst2/distilled --learner bert-base-uncased \
        --output_dir runs/sst2/learner

Real rows to compare with:

    ddg-hf evaluate-learner --task sst2 --demonstrations k_centers --dpc 5 10 20 --num_sets 20 \
        --output_dir runs/sst2/learner_k_centers

Writes `results.json` (a row per set and seed, and aggregates with 95 % intervals), `predictions.parquet` and, last,
`metadata.json`.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ddg_hf.configs import DataArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError
from ddg_hf.evaluation.learner import LearnerEvaluationArguments, LearnerRun
from ddg_hf.provenance import METADATA_FILE, atomic_directory, check_output_dir, run_metadata, write_json
from ddg_hf.terminal import Progress, result, say


def write_evaluation(
    output_dir: Path,
    runs: list[LearnerRun],
    query_ids: Sequence[int],
    references: list[int],
    results: dict,
    metadata: dict,
) -> None:
    """Writes all files of an evaluation or none; `query_ids` are the row numbers of the test rows in their split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    predictions = {
        "dpc": [run.dpc for run in runs for _ in references],
        "set": [run.set_id for run in runs for _ in references],
        "seed": [run.seed for run in runs for _ in references],
        "query": [int(i) for _ in runs for i in query_ids],
        "reference": [y for _ in runs for y in references],
        "prediction": [int(y) for run in runs for y in run.predictions_Q],
    }
    with atomic_directory(output_dir) as directory:
        pq.write_table(pa.table(predictions), directory / "predictions.parquet", compression="zstd")
        write_json(directory / "results.json", results)
        write_json(directory / METADATA_FILE, metadata)


def report(results: dict) -> None:
    """Prints one line for each number of rows per class."""
    for entry in results["aggregates"]:
        accuracy = entry["accuracy"]
        say(
            f"{results['training_rows']}, {entry['dpc']} per class: accuracy {100 * accuracy['mean']:.1f} % "
            f"[{100 * accuracy['low']:.1f}, {100 * accuracy['high']:.1f}], {entry['num_sets']} sets x "
            f"{entry['num_seeds']} seeds, {entry['num_queries']} test rows"
        )


def make_parser() -> RecipeParser:
    """The parser of its command line."""
    return RecipeParser(
        (DataArguments, LearnerArguments, LearnerEvaluationArguments, RunArguments), prog="ddg-hf evaluate-learner"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, trains and tests, and writes the results."""
    data_args, learner_args, arguments, run_args = make_parser().parse(argv)

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("evaluate-learner runs in one process: start it with python, or with --num_processes 1")

    import torch

    from ddg_hf.data.rows import fingerprints, rows_and_labels, split_of
    from ddg_hf.evaluation.demonstrations import balanced_sample, fingerprints_of, select_sets
    from ddg_hf.evaluation.learner import evaluate_sets, summarise
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.models.learner import Learner

    output_dir = check_output_dir(run_args.output_dir, run_args.overwrite, "evaluate-learner", replaces=True)
    spec, dataset = data_args.load(seed=run_args.seed)
    split_of(dataset, arguments.split)
    if arguments.split == "train" and arguments.distilled is None:
        raise UserError("training and test rows would both come from the training split; use another --split")
    rows, labels = rows_and_labels(dataset["train"], spec)
    test_rows, references = rows_and_labels(dataset[arguments.split], spec)
    chosen = balanced_sample(references, arguments.test_number, run_args.seed, spec.num_labels)
    test_rows, references = [test_rows[i] for i in chosen], [references[i] for i in chosen]
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def embed(texts):
        return TextEncoder(learner_args, rows=rows, device=device).embed(texts)

    sets = select_sets(
        spec,
        list(zip(rows, labels, strict=True)),
        distilled=arguments.distilled,
        kind=arguments.demonstrations,
        dpc=arguments.dpc,
        num_sets=arguments.num_sets,
        seed=run_args.seed,
        embed=embed,
    )
    learner = Learner.load(learner_args, spec.num_labels, rows, device=device)
    total = arguments.num_seeds * sum(map(len, sets.values()))
    with Progress("training", total, "classifier") as bar:
        runs = evaluate_sets(learner, sets, test_rows, arguments, run_args.seed, bar.update)
    results = summarise(runs, references, spec)
    results |= {
        "learner": learner_args.learner,
        "training_rows": arguments.distilled or arguments.demonstrations,
        "distilled_sets": fingerprints_of(sets) if arguments.distilled else None,
        "split": arguments.split,
    }
    everything = [data_args, learner_args, arguments, run_args]
    metadata = run_metadata("evaluate-learner", everything, task=spec.name, data_fingerprint=fingerprints(dataset))
    write_evaluation(output_dir, runs, chosen, references, results, metadata)
    report(results)
    say(f"results: {output_dir / 'results.json'}")
    summary = {key: results[key] for key in ("task", "learner", "training_rows", "split", "aggregates")}
    result({"command": "evaluate-learner", "output_dir": str(output_dir), **summary})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
