# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Keep those of several sets with which a language model finds the right labels of held-out rows most likely.

    ddg-hf generate --task sst2 --generator runs/sst2/distill --dpc 5 --num_sets 20 --output_dir runs/sst2/candidates
    ddg-hf rerank --task sst2 --distilled runs/sst2/candidates --candidates 4 --model Qwen/Qwen2.5-0.5B \
        --test_number 64 --output_dir runs/sst2/reranked

Of 4 sets at a time, in their order, the best one is kept: 5 sets come out. The score of a set is the mean
log-probability of the right label among all labels, over the rows of `--split` (`validation`). It costs
sets x rows queries, and uses the labels of these rows: test the sets on another split. `--split train` is refused: a
set that holds a query would give its label away.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ddg_hf.configs import DataArguments, ICLModelArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.config import ICLEvaluationArguments


@dataclass
class RerankArguments:
    """
    How many sets compete.

    Parameters:
        candidates (`int`, *optional*, defaults to `4`): Of so many sets, in their order, one is kept.
    """

    candidates: int = field(default=4, metadata={"help": "Of so many sets, in their order, one is kept."})

    def __post_init__(self):
        if self.candidates < 2:
            raise UserError(f"--candidates must be at least 2, got {self.candidates}")


def check_arguments(arguments: ICLEvaluationArguments) -> None:
    """Raises `UserError` if the evaluation that `arguments` describe does not score sets."""
    if arguments.distilled is None:
        raise UserError("--distilled is missing: give the directory of the sets to choose from")
    if arguments.scoring != "likelihood":
        raise UserError(f"sets are compared by likelihood, not by --scoring {arguments.scoring}; leave it out")
    if arguments.orders != 1:
        raise UserError("rerank shows each set in one order; leave out --orders")
    if arguments.split == "train":
        raise UserError(
            "the candidates may hold the queries if both come from the training split; use another --split"
        )
    if arguments.split == "test":
        raise UserError("sets must not be chosen on the test split; use --split validation")


def candidate_sets(arguments: ICLEvaluationArguments, candidates: int, spec, seed: int) -> dict[int, list]:
    """Returns the sets that compete by their rows per class. Raises `UserError` if their number is not a multiple."""
    from ddg_hf.evaluation.demonstrations import select_sets

    sets = select_sets(spec, [], arguments.distilled, None, arguments.dpc, arguments.num_sets, seed)
    for n, members in sets.items():
        if len(members) % candidates:
            raise UserError(f"dpc_{n} has {len(members)} sets, which --candidates {candidates} does not divide")
    return sets


def show_sets(everything, spec, data, sets: dict[int, list], scratch: Path, seed: int):
    """
    Shows all sets to the language model with the same queries. What is finished is kept in `scratch`.

    Returns:
        An `ICLRun` for each set; the label ids of the queries; and what is kept in case the command is stopped.
    """
    from ddg_hf.data.rows import fingerprints
    from ddg_hf.evaluation.demonstrations import balanced_sample, to_demonstrations
    from ddg_hf.evaluation.icl_jobs import fingerprint_content, make_jobs
    from ddg_hf.evaluation.partial_runs import PartialRuns, fingerprint, version_of
    from ddg_hf.models.names import resolve_model
    from ddg_hf.recipes.evaluate_icl import load_evaluator, run_all

    _, model_args, _, arguments, _, _ = everything
    rows = data[arguments.split]
    query_ids = balanced_sample(rows["label"], arguments.test_number, seed, spec.num_labels)
    queries, references = zip(*to_demonstrations(rows.select(query_ids), spec), strict=True)
    jobs = make_jobs(arguments, sets, spec.num_labels, queries, seed)
    # A server has names of its own.
    model = model_args.model if arguments.base_url else resolve_model(model_args.model)
    version = None if arguments.base_url else version_of(model, model_args.revision)
    content = fingerprint_content(list(everything), spec, fingerprints(data), query_ids, jobs)
    partial = PartialRuns(scratch, fingerprint(content | {"model": [model, version]}))
    journal = partial.directory / "answers.jsonl"
    evaluator, _ = load_evaluator(model, model_args, arguments, spec, journal, contextual=False)
    return run_all(evaluator, jobs, list(queries), partial, seed), references, partial


def choose(runs: Sequence, references: Sequence[int], candidates: int) -> tuple[dict[int, float], list[int]]:
    """
    Scores the sets of one number of rows per class and keeps the best of so many at a time.

    Args:
        runs: An `ICLRun` for each set, in their order.
        references: Label id of each query.
        candidates: How many sets compete.

    Returns:
        The score of each set, and the numbers of those that are kept.

    Raises:
        UserError: a query was not answered, so that sets cannot be compared.
    """
    from ddg_hf.selection.likelihood import choose_sets, mean_label_loglikelihood

    for run in runs:
        prediction = run.prediction
        if prediction.failed_Q.any():
            reason = f" ({prediction.failures[0]})" if prediction.failures else ""
            raise UserError(
                f"set {run.set_id} of dpc_{run.dpc}: {prediction.failed_Q.sum()} of {len(references)} queries "
                f"failed{reason}; start the same command again: what was answered is not asked twice"
            )
    found = [mean_label_loglikelihood(run.prediction.logprobs_QK, references) for run in runs]
    positions = choose_sets(found, [i // candidates for i in range(len(runs))])
    scores = {run.set_id: score for run, score in zip(runs, found, strict=True)}
    return scores, [runs[i].set_id for i in positions]


def make_parser() -> RecipeParser:
    """The parser of its command line."""
    return RecipeParser(
        (DataArguments, ICLModelArguments, LearnerArguments, ICLEvaluationArguments, RerankArguments, RunArguments),
        prog="ddg-hf rerank",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, scores the sets, and writes those that are kept."""
    everything = make_parser().parse(argv)
    data_args, _, _, arguments, rerank_args, run_args = everything
    check_arguments(arguments)

    from ddg_hf.data.rows import fingerprints, split_of
    from ddg_hf.formats.directory import open_distilled
    from ddg_hf.formats.distilled import write_distilled
    from ddg_hf.provenance import atomic_directory, check_output_dir, run_metadata
    from ddg_hf.terminal import result, say

    output_dir = check_output_dir(run_args.output_dir, run_args.overwrite, "rerank", replaces=True)
    spec, data = data_args.load(seed=run_args.seed)
    split_of(data, arguments.split)
    directory = open_distilled(arguments.distilled)
    sets = candidate_sets(arguments, rerank_args.candidates, spec, run_args.seed)
    # Beside the directory, which is replaced as a whole.
    scratch = output_dir.parent / f".{output_dir.name}.scores"
    runs, references, partial = show_sets(everything, spec, data, sets, scratch, run_args.seed)
    scores, kept, chosen = {}, {}, {}
    for n in sets:
        config = f"dpc_{n}"
        found, kept[config] = choose([run for run in runs if run.dpc == n], references, rerank_args.candidates)
        scores[config] = {str(number): round(score, 6) for number, score in found.items()}
        by_number = directory.sets(config)
        chosen[n] = [replace(row, set=i) for i, number in enumerate(kept[config]) for row in by_number[number]]
    metadata = run_metadata(
        "rerank",
        list(everything),
        task=spec.name,
        data_fingerprint=fingerprints(data),
        scored_queries=len(references) * sum(map(len, sets.values())),
        kept=kept,
        scores=scores,
        generator_run={key: value for key, value in directory.metadata.items() if key != "versions"} or None,
    )
    with atomic_directory(output_dir) as path:
        write_distilled(path, chosen, spec, metadata)
    partial.remove()
    scratch.rmdir()
    for config, numbers in kept.items():
        say(f"{config}: kept the sets {', '.join(map(str, numbers))}")
    say(f"sets: {output_dir}")
    result({"command": "rerank", "output_dir": str(output_dir), "kept": kept, "scores": scores})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
