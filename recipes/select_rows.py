# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Choose training rows as demonstration sets and write them like distilled ones.

    ddg-hf select --task sst2 --demonstrations k_centers --dpc 5 10 --num_sets 20 --output_dir runs/sst2/k_centers

The result is a directory of Parquet files for `evaluate-icl --distilled`, `evaluate-learner --distilled`, `check` and
`export`. Rows that a pretrained generator finds most likely; rows whose gradients match that of the training set:

    ddg-hf select --task sst2 --demonstrations generator_loss --generator runs/sst2/pretrain \
        --candidates_per_class 500 --output_dir runs/sst2/generator_loss
    ddg-hf select --task sst2 --demonstrations gradient_selection --candidates_per_class 500 \
        --output_dir runs/sst2/gradient_selection
"""

import os
import sys
from collections.abc import Sequence

from ddg_hf.configs import DataArguments, GeneratorArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError


def facts_of(kind: str, rows, labels, spec, generator_args, learner_args, snapshot_args, seed: int):
    """Computes what the selection `kind` needs of the training rows."""
    import numpy as np
    import torch

    from ddg_hf.evaluation.demonstrations.selected_rows import NEED_EMBEDDINGS, RowFacts
    from ddg_hf.evaluation.learner_snapshots import gradient_factors
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.models.generator import Generator
    from ddg_hf.models.learner import Learner

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if kind in NEED_EMBEDDINGS:
        return RowFacts(embeddings_NH=np.asarray(TextEncoder(learner_args, rows=rows, device=device).embed(rows)))
    if kind == "gradient_selection":
        learner = Learner.load(learner_args, spec.num_labels, rows, device=device)
        return RowFacts(gradients=gradient_factors(learner, rows, labels, snapshot_args, seed))
    if kind == "generator_loss":
        generator = Generator.load(generator_args.generator, generator_args)
        generator.check_task(spec)
        if not generator_args.load_in_4bit:
            generator.model.to(device)
        samples = [generator.format.encode(row, label) for row, label in zip(rows, labels, strict=True)]
        return RowFacts(losses_N=generator.nll(samples).numpy())
    return RowFacts()


def make_parser() -> RecipeParser:
    """The parser of its command line."""
    from ddg_hf.evaluation.demonstrations.selected_rows import SelectionArguments
    from ddg_hf.evaluation.learner_snapshots import SnapshotArguments

    return RecipeParser(
        (
            DataArguments,
            GeneratorArguments,
            LearnerArguments,
            SelectionArguments,
            SnapshotArguments,
            RunArguments,
        ),
        prog="ddg-hf select",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, chooses the rows, and writes the directory."""
    everything = make_parser().parse(argv)
    data_args, generator_args, learner_args, arguments, snapshot_args, run_args = everything
    if arguments.demonstrations == "generator_loss" and generator_args.generator is None:
        raise UserError("generator_loss needs --generator: the directory that `ddg-hf pretrain` or `distill` wrote")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("select runs in one process: start it with python, or with --num_processes 1")

    from ddg_hf.data.rows import fingerprints, rows_and_labels
    from ddg_hf.evaluation.demonstrations.selected_rows import select_real_sets
    from ddg_hf.formats.distilled import write_distilled
    from ddg_hf.provenance import atomic_directory, check_output_dir, recorded_run, run_metadata
    from ddg_hf.terminal import result, say

    output_dir = check_output_dir(run_args.output_dir, run_args.overwrite, "select", replaces=True)
    spec, dataset = data_args.load(seed=run_args.seed)
    rows, labels = rows_and_labels(dataset["train"], spec)
    seed = run_args.seed
    facts = facts_of(arguments.demonstrations, rows, labels, spec, generator_args, learner_args, snapshot_args, seed)
    sets = select_real_sets(list(zip(rows, labels, strict=True)), spec, arguments, facts, seed)
    if arguments.draws < arguments.num_sets:
        say(
            f"nothing is drawn at random in '{arguments.demonstrations}': one set, not {arguments.num_sets} "
            "(--candidates_per_class gives each set candidates of its own)"
        )
    metadata = run_metadata(
        "select",
        list(everything),
        task=spec.name,
        data_fingerprint=fingerprints(dataset),
        generator_run=recorded_run(generator_args.generator),
        scored_rows=0 if facts.losses_N is None else len(facts.losses_N),
    )
    with atomic_directory(output_dir) as directory:
        write_distilled(directory, sets, spec, metadata)
    say(f"sets of training rows: {output_dir}")
    configs = {f"dpc_{n}": len({row.set for row in rows}) for n, rows in sets.items()}
    done = {"demonstrations": arguments.demonstrations, "configs": configs}
    result({"command": "select", "output_dir": str(output_dir), **done})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
