# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Train a label-conditioned generator with the language-model loss.

One GPU, the settings of the paper:

    accelerate launch recipes/pretrain.py --config recipes/sst2/pretrain.yaml --output_dir runs/sst2/pretrain

Four GPUs:

    accelerate launch --config_file accelerate_configs/ddp.yaml recipes/pretrain.py \
        --config recipes/sst2/pretrain.yaml --output_dir runs/sst2/pretrain

A CPU, local Parquet files, and a small generator made from the text of the task:

    ddg-hf pretrain --task sst2 --data_dir data --generator_config tiny --learner tiny \
        --max_steps 200 --learning_rate 1e-3 --output_dir runs/sst2/pretrain
"""

import sys
from collections.abc import Sequence

from ddg_hf.configs import DataArguments, GeneratorArguments, LearnerArguments, RecipeParser
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig


def make_parser() -> RecipeParser:
    """The parser of its command line."""
    return RecipeParser(
        (DataArguments, GeneratorArguments, LearnerArguments, GeneratorPretrainingConfig), prog="ddg-hf pretrain"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, trains, and writes an ordinary checkpoint to `output_dir`."""
    data_args, generator_args, learner_args, training_args = make_parser().parse(argv)

    from ddg_hf.data.rows import fingerprints, rows_and_labels
    from ddg_hf.evaluation.label_control import LabelProbe
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.models.generator import Generator
    from ddg_hf.provenance import check_output_dir
    from ddg_hf.trainer.checkpoints import resume_requested
    from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
    from ddg_hf.trainer.progress import report_training
    from ddg_hf.trainer.runs import run_training

    resume = resume_requested(training_args.resume_from_checkpoint)
    check_output_dir(training_args.output_dir, training_args.overwrite, "pretrain", resume)
    spec, dataset = data_args.load(seed=training_args.seed)
    rows, labels = rows_and_labels(dataset["train"], spec)
    eval_rows, eval_labels = rows_and_labels(dataset["validation"], spec)
    generator = Generator.create(
        generator_args,
        spec,
        rows,
        label_prefix=training_args.label_prefix,
        label_initialization=training_args.label_initialization,
        trim_vocabulary=training_args.trim_vocabulary,
        max_length=training_args.max_length,
        seed=training_args.seed,
    )
    probe = None
    if training_args.probe_samples:
        encoder = TextEncoder(learner_args, rows=rows, device=training_args.device)
        probe = LabelProbe(encoder, rows, labels)
    trainer = GeneratorPretrainingTrainer(
        generator, training_args, rows, labels, eval_rows=eval_rows, eval_labels=eval_labels, probe=probe
    )
    arguments = [data_args, generator_args, learner_args, training_args]
    metrics = run_training(trainer, "pretrain", arguments, task=spec.name, data_fingerprint=fingerprints(dataset))
    report_training(trainer, metrics)
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
