# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Measure what demonstrations are worth in the prompt of a language model.

Distilled sets, from a directory that `ddg-hf generate` wrote or from the Hub:

    ddg-hf evaluate-icl --task sst2 --model Qwen/Qwen2.5-0.5B --distilled runs/sst2/distilled \
        --dpc 5 10 --output_dir runs/sst2/icl

Rows of the training split to compare with (`balanced`, `random`, `k_centers`, or `zero_shot`):

    ddg-hf evaluate-icl --task sst2 --model Qwen/Qwen2.5-0.5B --demonstrations balanced \
        --dpc 5 --num_sets 5 --test_number 300 --output_dir runs/sst2/icl_balanced

Writes `results.json` (a row per set and order, and aggregates with 95 % intervals), `predictions.parquet` (a row per
query) and, last, `metadata.json`. All options: `--help`.
"""

import os
import sys
from collections.abc import Sequence

from ddg_hf.configs import DataArguments, ICLModelArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.data.samplers import stable_seed
from ddg_hf.errors import UserError, closest
from ddg_hf.evaluation.icl.config import ICLEvaluationArguments
from ddg_hf.provenance import METADATA_FILE, check_output_dir, run_metadata, write_json


def _split(data, name: str):
    if name not in data:
        raise UserError(f"there is no split '{name}'.{closest(name, data)} There are {', '.join(data)}.")
    return data[name]


def demonstration_sets(
    arguments: ICLEvaluationArguments, learner_arguments: LearnerArguments, spec, data, seed: int
) -> dict[int, list]:
    """Returns the sets to evaluate by their demonstrations per class (0 for zero-shot)."""
    from ddg_hf.evaluation.demonstrations import select_sets, to_demonstrations

    kind, rows = arguments.demonstrations, []
    if arguments.distilled is None and kind != "zero_shot":
        if arguments.split == "train":
            raise UserError("demonstrations and queries would both come from the training split; use another --split")
        rows = to_demonstrations(_split(data, "train"), spec)
    embed = None
    if kind == "k_centers":
        from ddg_hf.models.encoder import TextEncoder

        embed = TextEncoder(learner_arguments, rows=[texts for texts, _ in rows]).embed
    dpc = arguments.dpc
    if dpc is None and arguments.distilled is None and arguments.rounds is not None:
        dpc = [arguments.rounds]
    return select_sets(spec, rows, arguments.distilled, kind, dpc, arguments.num_sets, seed, embed)


def prompt_orders(arguments: ICLEvaluationArguments, sets: dict[int, list], num_labels: int, seed: int) -> list[tuple]:
    """
    Returns (dpc, rounds, set, order, demonstrations in the order of the prompt) for all that is to be evaluated. An
    order that cannot be made is an error here, before a model is loaded.
    """
    orders = 1 if arguments.demonstrations == "zero_shot" else arguments.orders
    jobs = []
    for dpc, members in sets.items():
        rounds = 0 if dpc == 0 else arguments.rounds or dpc
        for member in members:
            for order in range(orders):
                order_seed = stable_seed("order", seed, member.set_id, order)
                jobs.append((dpc, rounds, member, order, member.in_order(rounds, num_labels, order_seed)))
    return jobs


def load_evaluator(model_arguments: ICLModelArguments, arguments: ICLEvaluationArguments, spec):
    """Loads the model, onto the GPU if there is one."""
    import torch

    from ddg_hf.evaluation.icl.evaluator import ICLEvaluator
    from ddg_hf.models.loading import load_causal_lm

    model, tokenizer = load_causal_lm(model_arguments.model, model_arguments)
    if torch.cuda.is_available() and not model_arguments.load_in_4bit:
        model = model.to("cuda")
    return ICLEvaluator(model, tokenizer, spec, arguments.scoring, arguments.token_budget)


def evaluate(evaluator, jobs: list[tuple], queries: list[tuple[str, ...]], seed: int) -> list:
    """Returns an `ICLRun` for each job."""
    from tqdm.auto import tqdm

    from ddg_hf.evaluation.results import ICLRun

    runs = []
    with tqdm(total=len(jobs) * len(queries), unit="query", disable=None) as bar:
        for dpc, rounds, members, order, demonstrations in jobs:
            bar.set_description(f"dpc {dpc}, set {members.set_id}, order {order}")
            prediction = evaluator.evaluate(demonstrations, queries, progress=bar.update)
            runs.append(ICLRun(dpc, rounds, members.set_id, seed, order, prediction))
    return runs


def report(results: dict) -> None:
    """Prints one line for each number of demonstrations."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ddg_hf.evaluation.statistics import Interval

    def percent(entry: dict | None) -> str:
        if entry is None:
            return "-"
        return Interval(**{key: float("nan") if value is None else value for key, value in entry.items()}).percent()

    table = Table(title=f"{results['task']}: accuracy in %, 95 % interval", box=box.SIMPLE, title_justify="left")
    for column in ("demonstrations", "dpc", "rounds", "sets", "queries", "raw", "batch-calibrated", "unparsable", "s"):
        table.add_column(column, justify="left" if column == "demonstrations" else "right", no_wrap=True)
    for entry in results["aggregates"]:
        counts = [str(entry[key]) for key in ("dpc", "rounds", "num_sets", "num_queries")]
        accuracies = [percent(entry["accuracy"]), percent(entry["calibrated_accuracy"])]
        table.add_row(
            results["demonstrations"], *counts, *accuracies, str(entry["num_unparsable"]), f"{entry['seconds']:.0f}"
        )
    Console(width=None if sys.stdout.isatty() else 140, soft_wrap=True).print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the evaluation that `argv` (default: the command line) describes. Returns the exit code."""
    parser = RecipeParser(
        (DataArguments, ICLModelArguments, LearnerArguments, ICLEvaluationArguments, RunArguments),
        prog="ddg-hf evaluate-icl",
        description="Measure what demonstrations are worth in the prompt of a language model.",
    )
    data_arguments, model_arguments, learner_arguments, arguments, run_arguments = parser.parse(argv)
    output_dir = check_output_dir(run_arguments.output_dir, run_arguments.overwrite, "evaluate-icl")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("evaluate-icl runs in one process: start it with python, or with --num_processes 1")

    from ddg_hf.data.rows import fingerprints
    from ddg_hf.evaluation.demonstrations import balanced_sample, to_demonstrations
    from ddg_hf.evaluation.results import write_results

    spec, data = data_arguments.load(seed=run_arguments.seed)
    queries = _split(data, arguments.split)
    query_ids = balanced_sample(queries["label"], arguments.test_number, run_arguments.seed, spec.num_labels)
    sampled = to_demonstrations(queries.select(query_ids), spec)
    sets = demonstration_sets(arguments, learner_arguments, spec, data, run_arguments.seed)
    jobs = prompt_orders(arguments, sets, spec.num_labels, run_arguments.seed)
    evaluator = load_evaluator(model_arguments, arguments, spec)
    for *_, demonstrations in jobs:
        evaluator.check_context(demonstrations, [texts for texts, _ in sampled])
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / METADATA_FILE).unlink(missing_ok=True)  # from here on, the old results are not whole
    runs = evaluate(evaluator, jobs, [texts for texts, _ in sampled], run_arguments.seed)
    results = write_results(
        output_dir,
        runs,
        query_ids,
        [label for _, label in sampled],
        spec,
        model=model_arguments.model,
        dtype=str(evaluator.model.dtype).removeprefix("torch."),
        demonstrations=arguments.distilled or arguments.demonstrations,
        split=arguments.split,
        scoring=arguments.scoring,
        seed=run_arguments.seed,
    )
    all_arguments = [data_arguments, model_arguments, learner_arguments, arguments, run_arguments]
    record = run_metadata("evaluate-icl", all_arguments, task=spec.name, data_fingerprint=fingerprints(data))
    write_json(output_dir / METADATA_FILE, record)
    report(results)
    print(f"results: {output_dir / 'results.json'}")
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
