# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Measure what demonstrations are worth in the prompt of a language model.

Distilled sets, from a directory that `ddg-hf generate` wrote or from the Hub:

    ddg-hf evaluate-icl --task sst2 --model Qwen/Qwen2.5-0.5B --distilled runs/sst2/distilled \
        --dpc 5 10 --output_dir runs/sst2/icl

Rows of the training split to compare with (`balanced`, `random`, `k_centers`, `herding`; for each query its own:
`bm25`, `topk`; or `zero_shot`):

    ddg-hf evaluate-icl --task sst2 --model Qwen/Qwen2.5-0.5B --demonstrations balanced \
        --dpc 5 --num_sets 5 --test_number 300 --output_dir runs/sst2/icl_balanced

The protocol of LongICLBench, with its short names of models; without `--output_dir` the results go to
`runs/<task>/icl_<model>_...`:

    ddg-hf evaluate-icl --task banking77 --round 5 -m qwen --test_number 500

Writes `results.json` (a row per set and order, and aggregates with 95 % intervals), `predictions.parquet` (a row per
query) and, last, `metadata.json`. A run that was stopped goes on where it was when it is started again with the same
command. Exit code 1: some queries failed; the same command asks them again. All options: `--help`.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ddg_hf.configs import DataArguments, ICLModelArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.config import ICLEvaluationArguments
from ddg_hf.models.names import resolve_model
from ddg_hf.provenance import METADATA_FILE, check_output_dir, run_metadata, write_json
from ddg_hf.terminal import Progress, result, say, table, warn

SHOWN_FAILURES = 5
# What results.json has and `--json` does not print.
DETAILS = ("runs", "per_label", "confusion", "label_names", "distilled_sets")
# Arguments that results.json repeats.
RECORDED = ("scoring", "constrained", "order_by", "context_length", "instruct", "chat")


def demonstration_sets(
    arguments: ICLEvaluationArguments, learner_arguments: LearnerArguments, spec, data, seed: int
) -> dict[int, list]:
    """Returns the sets to evaluate by their demonstrations per class (0 for zero-shot)."""
    from ddg_hf.data.rows import split_of
    from ddg_hf.evaluation.arguments import NEEDS_ENCODER
    from ddg_hf.evaluation.demonstrations import select_sets, to_demonstrations
    from ddg_hf.evaluation.icl_jobs import rows_per_class

    kind, rows, embed = arguments.demonstrations, [], None
    if arguments.distilled is None and kind != "zero_shot":
        if arguments.split == "train":
            raise UserError("demonstrations and queries would both come from the training split; use another --split")
        rows = to_demonstrations(split_of(data, "train"), spec)
    if kind in NEEDS_ENCODER:
        from ddg_hf.models.encoder import TextEncoder

        embed = TextEncoder(learner_arguments, rows=[texts for texts, _ in rows]).embed
    dpc = rows_per_class(arguments, [label for _, label in rows], spec.num_labels)
    return select_sets(spec, rows, arguments.distilled, kind, dpc, arguments.num_sets, seed, embed)


def load_evaluator(
    model: str,
    model_arguments: ICLModelArguments,
    arguments: ICLEvaluationArguments,
    spec,
    journal: Path,
    contextual: bool = True,
):
    """
    Returns the evaluator and the type of the model's weights (`None` if a server has the model).

    The model is loaded in this process, onto the GPU if there is one, or by vLLM; or it is behind a server, whose
    answers are kept in `journal`. `contextual`: whether queries without content are scored too.
    """
    from ddg_hf.evaluation.icl.chat import build_template
    from ddg_hf.evaluation.icl.evaluator import ICLEvaluator

    build_template(spec, arguments)  # mistakes in it are found before a model is loaded
    if arguments.base_url is not None:
        from ddg_hf.evaluation.icl.server_backend import ServerBackend

        limits = (arguments.concurrency, arguments.max_retries, arguments.timeout)
        backend = ServerBackend(arguments.base_url, model, arguments.api_key, *limits, journal=journal)
        tokenizer = dtype = None
    elif arguments.vllm:
        from ddg_hf.evaluation.icl.vllm_backend import VLLMBackend

        backend = VLLMBackend(model, model_arguments.dtype, model_arguments.revision)
        tokenizer, dtype = backend.tokenizer, model_arguments.dtype
    else:
        import torch

        from ddg_hf.evaluation.icl.transformers_backend import TransformersBackend
        from ddg_hf.models.loading import load_causal_lm

        loaded, tokenizer = load_causal_lm(model, model_arguments)
        if torch.cuda.is_available() and not model_arguments.load_in_4bit:
            loaded = loaded.to("cuda")
        backend = TransformersBackend(loaded, tokenizer, arguments.token_budget)
        dtype = str(loaded.dtype).removeprefix("torch.")
    template = build_template(spec, arguments, tokenizer)
    evaluator = ICLEvaluator(
        backend,
        template,
        arguments.scoring,
        constrained=arguments.constrained,
        context_length=arguments.context_length,
        drop_rounds=arguments.drops_rounds,
        contextual=contextual,
    )
    return evaluator, dtype


def run_all(evaluator, jobs: list, queries: list[tuple[str, ...]], partial, seed: int) -> list:
    """Runs the jobs that are not yet done, with a progress bar; returns an `ICLRun` for each of all jobs."""
    from ddg_hf.evaluation.icl_jobs import run_jobs

    done = sum(partial.has(job.name) for job in jobs)
    if done:
        say(f"going on with a run that was stopped: {done} of {len(jobs)} jobs are done")
    for job in jobs:
        if not partial.has(job.name):
            job.shown(evaluator, queries)  # a prompt that is too long is known before the first one is read
    with Progress("evaluation", len(jobs) * len(queries), "query") as bar:

        def progress(name: str, count: int) -> None:
            bar.describe(name)
            bar.update(count)

        return run_jobs(evaluator, jobs, queries, partial, seed, progress)


def report(results: dict) -> None:
    """Prints one line for each number of demonstrations."""

    def percent(entry: dict | None) -> str:
        if entry is None:
            return "-"
        return f"{100 * entry['mean']:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"

    columns = ("demonstrations", "dpc", "rounds", "sets", "queries", "raw", "contextual", "batch-calibrated")
    rows = []
    for entry in results["aggregates"]:
        counts = [str(entry[key]) for key in ("dpc", "rounds", "num_sets", "num_queries")]
        accuracies = [percent(entry.get(f"{kind}accuracy")) for kind in ("", "contextual_", "calibrated_")]
        ends = (str(entry["num_unparsable"]), f"{entry['seconds']:.0f}")
        rows.append([results["demonstrations"], *counts, *accuracies, *ends])
    table((*columns, "unparsable", "s"), rows, f"{results['task']}: accuracy in %, 95 % interval", keys=2)
    for entry in results["aggregates"]:
        if entry["dropped_rounds"]:
            runs = entry["num_sets"] * entry["num_orders"]
            say(f"dpc {entry['dpc']}: {entry['dropped_rounds']} rounds dropped in {runs} prompts: they did not fit")


def report_failures(runs: list) -> bool:
    """Says on standard error how many queries failed, if any did. Returns whether some did."""
    failed = sum(int(run.prediction.failed_Q.sum()) for run in runs)
    lines = [line for run in runs for line in run.prediction.failures]
    if not failed and not lines:
        return False
    for line in lines[:SHOWN_FAILURES]:
        warn(line)
    if len(lines) > SHOWN_FAILURES:
        warn(f"... and {len(lines) - SHOWN_FAILURES} more")
    total = sum(len(run.prediction.predictions_Q) for run in runs)
    warn(f"{failed} of {total} queries failed; start the same command again to retry them")
    return True


def evaluate(all_arguments: tuple, model: str, output_dir: Path):
    """
    Runs what is not yet done and writes the results to `output_dir`.

    Returns the runs, the content of results.json, the answers kept of single jobs, and the metadata, which are to be
    written when no query has failed.
    """
    from ddg_hf.data.rows import fingerprints, split_of
    from ddg_hf.evaluation.demonstrations import balanced_sample, fingerprints_of, to_demonstrations
    from ddg_hf.evaluation.icl_jobs import fill_context, fills_context, fingerprint_content, make_jobs
    from ddg_hf.evaluation.icl_results import write_results
    from ddg_hf.evaluation.partial_runs import PartialRuns, fingerprint, version_of

    data_arguments, model_arguments, learner_arguments, arguments, run_arguments = all_arguments
    seed = run_arguments.seed
    spec, data = data_arguments.load(seed=seed)
    rows = split_of(data, arguments.split)
    query_ids = balanced_sample(rows["label"], arguments.test_number, seed, spec.num_labels)
    queries, references = zip(*to_demonstrations(rows.select(query_ids), spec), strict=True)
    sets = demonstration_sets(arguments, learner_arguments, spec, data, seed)
    jobs = make_jobs(arguments, sets, spec.num_labels, queries, seed)
    data_fingerprints = fingerprints(data)
    content = fingerprint_content(all_arguments, spec, data_fingerprints, query_ids, jobs)
    version = None if arguments.base_url else version_of(model, model_arguments.revision)
    partial = PartialRuns(output_dir, fingerprint(content | {"model": [model, version]}))
    journal = partial.directory / "answers.jsonl"
    evaluator, dtype = load_evaluator(model, model_arguments, arguments, spec, journal)
    if fills_context(arguments):
        jobs = fill_context(jobs, evaluator, queries)

    if run_arguments.overwrite:
        partial.remove_others()
    runs = run_all(evaluator, jobs, queries, partial, seed)
    (output_dir / METADATA_FILE).unlink(missing_ok=True)  # from here on, the old results are not whole
    results = write_results(
        output_dir,
        runs,
        query_ids,
        references,
        spec,
        model=model,
        dtype=dtype,
        backend="server" if arguments.base_url else "vllm" if arguments.vllm else "transformers",
        demonstrations=arguments.distilled or arguments.demonstrations,
        distilled_sets=fingerprints_of(sets) if arguments.distilled else None,
        split=arguments.split,
        seed=seed,
        **{name: getattr(arguments, name) for name in RECORDED},
    )
    metadata = run_metadata("evaluate-icl", all_arguments, task=spec.name, data_fingerprint=data_fingerprints)
    return runs, results, partial, metadata | {"model": model}


def make_parser() -> RecipeParser:
    """The parser of its command line."""
    return RecipeParser(
        (DataArguments, ICLModelArguments, LearnerArguments, ICLEvaluationArguments, RunArguments),
        prog="ddg-hf evaluate-icl",
        description="Measure what demonstrations are worth in the prompt of a language model.",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the evaluation that `argv` (default: the command line) describes. Returns the exit code."""
    all_arguments = make_parser().parse(argv)
    data_arguments, model_arguments, _, arguments, run_arguments = all_arguments
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("evaluate-icl runs in one process: start it with python, or with --num_processes 1")
    # a server has names of its own
    model = model_arguments.model if arguments.base_url else resolve_model(model_arguments.model)
    if model != model_arguments.model:
        say(f"'{model_arguments.model}' is {model}")

    from ddg_hf.evaluation.icl_jobs import default_output_dir

    task = data_arguments.task or Path(data_arguments.dataset or "task").stem
    output_dir = run_arguments.output_dir or default_output_dir(task, model_arguments.model, arguments)
    output_dir = check_output_dir(output_dir, run_arguments.overwrite, "evaluate-icl")
    runs, results, partial, metadata = evaluate(all_arguments, model, output_dir)
    report(results)
    summary = {key: value for key, value in results.items() if key not in DETAILS}
    result({"command": "evaluate-icl", "output_dir": str(output_dir), **summary})
    if report_failures(runs):
        return 1
    write_json(output_dir / METADATA_FILE, metadata)
    partial.remove()
    say(f"results: {output_dir / 'results.json'}")
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
