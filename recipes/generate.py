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

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddg_hf.configs import DataArguments, GeneratorArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError
from ddg_hf.generation_config import GenerationArguments


def load_generator(generator_args: GeneratorArguments, arguments: GenerationArguments, spec, device: str):
    """Loads the generator, or the language model that is asked in words, onto the device."""
    from ddg_hf.models.generator import Generator
    from ddg_hf.models.self_generator import SelfGenerator

    if arguments.self_generated:
        generator = SelfGenerator.load(generator_args.generator, generator_args, spec)
    else:
        generator = Generator.load(generator_args.generator, generator_args, arguments.restrict_vocabulary)
    generator.check_task(spec)
    if not generator_args.load_in_4bit:
        generator.model.to(device)
    return generator


def sample_sets(generator, arguments: GenerationArguments, seed: int, encoder, probe):
    """Samples the sets, with a progress bar; returns them and how many texts were sampled and dropped."""
    from ddg_hf.generation import generate_sets
    from ddg_hf.terminal import Progress

    per_set = math.ceil(arguments.over_sample_ratio * max(arguments.dpc)) * generator.format.num_labels
    with Progress("sampling", per_set * arguments.num_sets, "text") as bar:
        sets, counts = generate_sets(generator, arguments, seed, encoder.embed, probe, bar.update)
    sampling = {
        "sampled": counts.sampled,
        "malformed": counts.malformed,
        "repeated": counts.duplicate,
        "dropped_for_label": counts.wrong_label,
    }
    return sets, sampling


def measure_sampling(generator, sets, probe, validation) -> dict[str, float]:
    """Returns what the probe says of the sets and of validation rows, and how much a trimmed vocabulary leaves out."""
    found = {}
    for n, distilled in sets.items():
        consistency = probe.accuracy([row.texts for row in distilled], [row.label for row in distilled])
        found[f"label_consistency_dpc_{n}"] = round(consistency, 4)
    found["probe_accuracy_on_validation"] = round(probe.accuracy(*validation), 4)
    if generator.vocabulary is not None:
        pairs = list(zip(*validation, strict=True))[:128]
        covered = [generator.format.encode(row, y) for row, y in pairs if generator.format.is_covered(row)]
        if covered:
            found["probability_outside_kept_tokens"] = round(generator.outside_probability(covered[:64]), 6)
    return found


def write_checked(output_dir: Path, sets, spec, metadata: dict[str, Any], dataset, probe) -> dict[str, Any]:
    """
    Writes the sets and their checks, which it returns. The directory appears with both: one without checks would count
    as finished. The sets took long to sample, so they are written even if a check fails, which is raised afterwards.
    """
    from ddg_hf.data.rows import rows_and_labels
    from ddg_hf.formats.directory import open_distilled
    from ddg_hf.formats.distilled import write_checks, write_distilled
    from ddg_hf.provenance import atomic_directory
    from ddg_hf.quality import run_checks
    from ddg_hf.terminal import warn

    checks = failure = None
    with atomic_directory(output_dir) as directory:
        write_distilled(directory, sets, spec, metadata)
        try:
            real = {split: rows_and_labels(rows, spec) for split, rows in dataset.items()}
            checks = run_checks(open_distilled(directory), real, probe)
            write_checks(directory, checks)
        except Exception as error:
            failure = error
    if failure is not None:
        warn(f"the sets are without checks in {output_dir} (`ddg-hf check {output_dir}` makes them)")
        raise failure
    return checks


def make_parser() -> RecipeParser:
    """The parser of its command line."""
    return RecipeParser(
        (DataArguments, GeneratorArguments, LearnerArguments, GenerationArguments, RunArguments),
        prog="ddg-hf generate",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, generates, and writes the dataset directory."""
    everything = make_parser().parse(argv)
    data_args, generator_args, learner_args, arguments, run_args = everything
    if generator_args.generator is None:
        raise UserError("--generator is missing: give the directory that `ddg-hf pretrain` or `distill` wrote")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("generate runs in one process: start it with python, or with --num_processes 1")

    import torch

    from ddg_hf.data.rows import check_classes, fingerprints, rows_and_labels
    from ddg_hf.evaluation.label_control import LabelProbe
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.provenance import check_output_dir, recorded_run, run_metadata
    from ddg_hf.quality import found_by
    from ddg_hf.terminal import result, say

    output_dir = check_output_dir(run_args.output_dir, run_args.overwrite, "generate", replaces=True)
    before = recorded_run(generator_args.generator)
    spec, dataset = data_args.load(seed=run_args.seed)
    rows, labels = rows_and_labels(dataset["train"], spec)
    check_classes(labels, spec, max(arguments.dpc))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = load_generator(generator_args, arguments, spec, device)
    encoder = TextEncoder(learner_args, rows=rows, device=device)
    probe = LabelProbe(encoder, rows, labels)
    sets, sampling = sample_sets(generator, arguments, run_args.seed, encoder, probe)
    sampling |= measure_sampling(generator, sets, probe, rows_and_labels(dataset["validation"], spec))
    metadata = run_metadata(
        "generate",
        list(everything),
        task=spec.name,
        data_fingerprint=fingerprints(dataset),
        sampling=sampling,
        generator_run=before,
    )
    checks = write_checked(output_dir, sets, spec, metadata, dataset, probe)
    for key, value in sampling.items():
        say(f"{key}: {value}")
    found = found_by(checks, ["any"])
    looked_for = [checks["checks"][name]["looks_for"] for name in found]
    say(f"checks found: {', '.join(looked_for) or 'nothing'} (`ddg-hf check {output_dir}` has the rest)")
    say(f"distilled sets: {output_dir}")
    done = {"configs": [f"dpc_{n}" for n in sets], "sampling": sampling, "checks_found": found}
    result({"command": "generate", "output_dir": str(output_dir), **done})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
