# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Distil a pretrained generator by gradient matching.

One GPU, the settings of the paper:

    accelerate launch recipes/distill.py --config recipes/sst2/distill.yaml \
        --generator runs/sst2/pretrain --output_dir runs/sst2/distill

Four GPUs:

    accelerate launch --config_file accelerate_configs/ddp.yaml recipes/distill.py \
        --config recipes/sst2/distill.yaml --generator runs/sst2/pretrain --output_dir runs/sst2/distill

`--student shared` is DiLM, `--student ema` (the default) is DDG:

    ddg-hf distill --task sst2 --generator runs/sst2/pretrain --student shared --output_dir runs/sst2/dilm

Learner trajectories that are computed once and used again, by other runs too; the best checkpoint by the accuracy of
classifiers trained on generated sets:

    ddg-hf distill --config recipes/sst2/distill.yaml --generator runs/sst2/pretrain --output_dir runs/sst2/distill \
        --num_trajectories 20 --trajectory_dir runs/sst2/trajectories \
        --validation_sets 3 --eval_strategy steps --eval_steps 500 --save_steps 500 --load_best_model_at_end true
"""

import sys
from collections.abc import Sequence

from ddg_hf.configs import DataArguments, GeneratorArguments, LearnerArguments, RecipeParser
from ddg_hf.errors import UserError
from ddg_hf.trainer.distillation_config import DistillationConfig


def make_parser() -> RecipeParser:
    """The parser of its command line."""
    return RecipeParser(
        (DataArguments, GeneratorArguments, LearnerArguments, DistillationConfig), prog="ddg-hf distill"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, distils, and writes an ordinary checkpoint to `output_dir`."""
    data_args, generator_args, learner_args, training_args = make_parser().parse(argv)
    if generator_args.generator is None:
        raise UserError("--generator is missing: give the directory that `ddg-hf pretrain` wrote")

    from ddg_hf.data.rows import fingerprints, rows_and_labels
    from ddg_hf.evaluation.label_control import LabelProbe
    from ddg_hf.evaluation.validation import SetValidator
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.models.generator import Generator
    from ddg_hf.models.learner import Learner
    from ddg_hf.provenance import check_output_dir, recorded_run
    from ddg_hf.trainer.checkpoints import resume_requested
    from ddg_hf.trainer.distillation_trainer import DistillationTrainer
    from ddg_hf.trainer.progress import report_training
    from ddg_hf.trainer.runs import run_training

    resume = resume_requested(training_args.resume_from_checkpoint)
    check_output_dir(training_args.output_dir, training_args.overwrite, "distill", resume)
    before = recorded_run(generator_args.generator)
    spec, dataset = data_args.load(seed=training_args.seed)
    rows, labels = rows_and_labels(dataset["train"], spec)
    eval_rows, eval_labels = rows_and_labels(dataset["validation"], spec)
    generator = Generator.load(generator_args.generator, generator_args)
    generator.check_task(spec)
    learner = Learner.load(learner_args, spec.num_labels, rows, device=training_args.device)
    encoder = TextEncoder(learner_args, rows=rows, device=training_args.device)
    probe = LabelProbe(encoder, rows, labels) if training_args.probe_samples else None
    validator = None
    if training_args.validation_sets:
        if not eval_rows:
            raise UserError("--validation_sets needs held-out rows, but the validation split is empty")
        validator = SetValidator(learner.clone(), encoder.embed, eval_rows, eval_labels, spec.metrics, training_args)
    trainer = DistillationTrainer(
        generator,
        learner,
        encoder,
        training_args,
        rows,
        labels,
        eval_rows=eval_rows,
        eval_labels=eval_labels,
        probe=probe,
        validator=validator,
    )
    arguments = [data_args, generator_args, learner_args, training_args]
    metrics = run_training(
        trainer,
        "distill",
        arguments,
        task=spec.name,
        data_fingerprint=fingerprints(dataset),
        generator_run=before,
    )
    report_training(trainer, metrics)
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
