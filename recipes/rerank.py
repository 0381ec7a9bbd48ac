# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Keep those of several sets with which a language model finds the right labels of held-out rows most likely.

    ddg-hf generate --task sst2 --generator runs/sst2/distill --dpc 5 --num_sets 20 --output_dir runs/sst2/candidates
    ddg-hf rerank --task sst2 --distilled runs/sst2/candidates --candidates 4 --model Qwen/Qwen2.5-0.5B \
        --test_number 64 --output_dir runs/sst2/reranked

Of 4 sets at a time, in their order, the best one is kept: 5 sets come out. The score of a set is the mean
log-probability of the right label among all labels, over the rows of `--split` (`validation`). It costs
sets x rows queries, and uses the labels of these rows: test the sets on another split.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

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
    if arguments.split == "test":
        raise UserError("sets must not be chosen on the test split; use --split validation")


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, scores the sets, and writes those that are kept."""
    parser = RecipeParser(
        (DataArguments, ICLModelArguments, LearnerArguments, ICLEvaluationArguments, RerankArguments, RunArguments),
        prog="ddg-hf rerank",
    )
    everything = parser.parse(argv)
    data_args, model_args, _, arguments, rerank_args, run_args = everything
    check_arguments(arguments)

    from dataclasses import replace
    from pathlib import Path

    from ddg_hf.data.rows import fingerprints
    from ddg_hf.evaluation.demonstrations import balanced_sample, select_sets, to_demonstrations
    from ddg_hf.evaluation.icl_jobs import fingerprint_content, make_jobs
    from ddg_hf.evaluation.partial_runs import PartialRuns, fingerprint, version_of
    from ddg_hf.formats.directory import open_distilled
    from ddg_hf.formats.distilled import write_distilled
    from ddg_hf.models.names import resolve_model
    from ddg_hf.provenance import atomic_directory, check_output_dir, run_metadata
    from ddg_hf.recipes.evaluate_icl import load_evaluator, run_all
    from ddg_hf.selection.likelihood import choose_sets, mean_label_loglikelihood
    from ddg_hf.terminal import result, say

    output_dir = check_output_dir(run_args.output_dir, run_args.overwrite, "rerank", replaces=True)
    spec, data = data_args.load(seed=run_args.seed)
    if arguments.split not in data:
        raise UserError(f"there is no split '{arguments.split}'; there are {', '.join(data)}")
    directory = open_distilled(arguments.distilled)
    rows = data[arguments.split]
    query_ids = balanced_sample(rows["label"], arguments.test_number, run_args.seed, spec.num_labels)
    queries, references = zip(*to_demonstrations(rows.select(query_ids), spec), strict=True)
    sets = select_sets(spec, [], arguments.distilled, None, arguments.dpc, arguments.num_sets, run_args.seed)
    for n, members in sets.items():
        if len(members) % rerank_args.candidates:
            raise UserError(
                f"dpc_{n} has {len(members)} sets, which --candidates {rerank_args.candidates} does not divide"
            )
    jobs = make_jobs(arguments, sets, spec.num_labels, queries, run_args.seed)
    model = resolve_model(model_args.model)
    content = fingerprint_content(list(everything), spec, fingerprints(data), query_ids, jobs)
    # Beside the directory, which is replaced as a whole.
    scratch = output_dir.parent / f".{output_dir.name}.scores"
    partial = PartialRuns(scratch, fingerprint(content | {"model": [model, version_of(model, model_args.revision)]}))
    evaluator, _ = load_evaluator(model, model_args, arguments, spec, partial.directory / "answers.jsonl")
    runs = run_all(evaluator, jobs, list(queries), partial, run_args.seed)
    kept, scores, chosen_sets = {}, {}, {}
    for n in sets:
        mine = [run for run in runs if run.dpc == n]
        found = [mean_label_loglikelihood(run.prediction.logprobs_QK, references) for run in mine]
        positions = choose_sets(found, [i // rerank_args.candidates for i in range(len(mine))])
        kept[f"dpc_{n}"] = [mine[i].set_id for i in positions]
        scores[f"dpc_{n}"] = {str(run.set_id): round(score, 6) for run, score in zip(mine, found, strict=True)}
        by_number = directory.sets(f"dpc_{n}")
        chosen_sets[n] = [
            replace(row, set=number) for number, i in enumerate(positions) for row in by_number[mine[i].set_id]
        ]
    metadata = run_metadata(
        "rerank",
        list(everything),
        task=spec.name,
        data_fingerprint=fingerprints(data),
        scored_queries=len(queries) * sum(map(len, sets.values())),
        kept=kept,
        scores=scores,
        generator_run={key: value for key, value in directory.metadata.items() if key != "versions"} or None,
    )
    with atomic_directory(output_dir) as path:
        write_distilled(path, chosen_sets, spec, metadata)
    partial.remove()
    Path(scratch).rmdir()
    for config, numbers in kept.items():
        say(f"{config}: kept the sets {', '.join(map(str, numbers))}")
    say(f"sets: {output_dir}")
    result({"command": "rerank", "output_dir": str(output_dir), "kept": kept, "scores": scores})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
