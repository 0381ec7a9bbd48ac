# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Sample distilled sets from a generator and write them as a dataset directory of Parquet files.

    ddg-hf generate --task sst2 --generator runs/sst2/distill --dpc 5 10 20 --num_sets 20 \
        --output_dir runs/sst2/distilled

The result loads with `datasets.load_dataset("runs/sst2/distilled", "dpc_5")`. A pretrained generator that was not
distilled works as well: that is the LM-only baseline. Any language model writes texts for a label without training:

    ddg-hf generate --task sst2 --generator Qwen/Qwen2.5-0.5B --self_generated true --dpc 5 \
        --output_dir runs/sst2/self_generated
"""

import os
import sys
from collections.abc import Sequence

from ddg_hf.configs import DataArguments, GeneratorArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError
from ddg_hf.generation_config import GenerationArguments


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, generates, and writes the dataset directory."""
    parser = RecipeParser(
        (DataArguments, GeneratorArguments, LearnerArguments, GenerationArguments, RunArguments),
        prog="ddg-hf generate",
    )
    data_args, generator_args, learner_args, arguments, run_args = parser.parse(argv)
    if generator_args.generator is None:
        raise UserError("--generator is missing: give the directory that `ddg-hf pretrain` or `distill` wrote")

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("generate runs in one process: start it with python, or with --num_processes 1")

    import numpy as np
    import torch

    from ddg_hf.data.rows import fingerprints, rows_and_labels
    from ddg_hf.evaluation.label_control import LabelProbe
    from ddg_hf.formats.directory import open_distilled
    from ddg_hf.formats.distilled import write_checks, write_distilled
    from ddg_hf.generation import generate_sets
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.models.generator import Generator
    from ddg_hf.models.self_generator import SelfGenerator
    from ddg_hf.provenance import atomic_directory, check_output_dir, recorded_run, run_metadata
    from ddg_hf.quality import found_by, run_checks
    from ddg_hf.terminal import Progress, result, say

    output_dir = check_output_dir(run_args.output_dir, run_args.overwrite, "generate", replaces=True)
    before = recorded_run(generator_args.generator)
    spec, dataset = data_args.load(seed=run_args.seed)
    rows, labels = rows_and_labels(dataset["train"], spec)
    counts_K = np.bincount(labels, minlength=spec.num_labels)
    if counts_K.min() < max(arguments.dpc):
        name = spec.label_names[int(counts_K.argmin())]
        raise UserError(
            f"class '{name}' has {counts_K.min()} training rows, fewer than --dpc {max(arguments.dpc)}; lower --dpc"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.self_generated:
        generator = SelfGenerator.load(generator_args.generator, generator_args, spec)
    else:
        generator = Generator.load(generator_args.generator, generator_args, arguments.restrict_vocabulary)
    generator.check_task(spec)
    if not generator_args.load_in_4bit:
        generator.model.to(device)
    encoder = TextEncoder(learner_args, rows=rows, device=device)
    probe = LabelProbe(encoder, rows, labels)
    per_set = int(np.ceil(arguments.over_sample_ratio * max(arguments.dpc))) * spec.num_labels
    with Progress("sampling", per_set * arguments.num_sets, "text") as bar:
        sets, counts = generate_sets(generator, arguments, run_args.seed, encoder.embed, probe, bar.update)
    sampling = {
        "sampled": counts.sampled,
        "malformed": counts.malformed,
        "repeated": counts.duplicate,
        "dropped_for_label": counts.wrong_label,
    }
    for n, distilled in sets.items():
        consistency = probe.accuracy([row.texts for row in distilled], [row.label for row in distilled])
        sampling[f"label_consistency_dpc_{n}"] = round(consistency, 4)
    validation, validation_labels = rows_and_labels(dataset["validation"], spec)
    sampling["probe_accuracy_on_validation"] = round(probe.accuracy(validation, validation_labels), 4)
    if generator.vocabulary is not None:
        pairs = list(zip(validation, validation_labels, strict=True))[:128]
        covered = [generator.format.encode(row, y) for row, y in pairs if generator.format.is_covered(row)]
        if covered:
            sampling["probability_outside_kept_tokens"] = round(generator.outside_probability(covered[:64]), 6)
    metadata = run_metadata(
        "generate",
        [data_args, generator_args, learner_args, arguments, run_args],
        task=spec.name,
        data_fingerprint=fingerprints(dataset),
        sampling=sampling,
        generator_run=before,
    )
    with atomic_directory(output_dir) as directory:
        write_distilled(directory, sets, spec, metadata)
    # After the sets are there: they took long to sample.
    real = {split: rows_and_labels(split_rows, spec) for split, split_rows in dataset.items()}
    checks = run_checks(open_distilled(output_dir), real, probe)
    write_checks(output_dir, checks)
    for key, value in sampling.items():
        say(f"{key}: {value}")
    found = found_by(checks, ["any"])
    looked_for = [checks["checks"][name]["looks_for"] for name in found]
    say(f"checks found: {', '.join(looked_for) or 'nothing'} (`ddg-hf check {output_dir}` has the rest)")
    say(f"distilled sets: {output_dir}")
    configs = [f"dpc_{n}" for n in sets]
    result(
        {
            "command": "generate",
            "output_dir": str(output_dir),
            "configs": configs,
            "sampling": sampling,
            "checks_found": found,
        }
    )
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
