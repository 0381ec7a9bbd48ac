# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Pretrains, distils and generates sets, to be killed and started again: `kill_run.py PRETRAINED OUTPUT`.

Says on standard output where it is: `ready PID`, then a line when a phase begins and one, with `done`, when it ends.
"""

import functools
import os
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from ddg_hf import generation
from ddg_hf.cli import leave_processes
from ddg_hf.configs import GeneratorArguments
from ddg_hf.formats.distilled import write_distilled
from ddg_hf.generation_config import GenerationArguments
from ddg_hf.models.generator import Generator
from ddg_hf.provenance import atomic_directory, run_metadata
from ddg_hf.trainer import runs
from ddg_hf.trainer.distillation_trainer import DistillationTrainer
from ddg_hf.trainer.generator_trainer import GeneratorTrainer
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
from ddg_hf.trainer.stored_trajectories import StoredTrajectories
from tests.trainer.helpers import SPEC, make_distillation_trainer, make_rows

PHASES = (
    (GeneratorTrainer, "sample_targets", "generate"),
    (GeneratorPretrainingTrainer, "training_step", "step"),
    (DistillationTrainer, "training_step", "step"),
    (GeneratorTrainer, "_save_checkpoint", "checkpoint"),
    (StoredTrajectories, "compute", "trajectories"),
    (runs, "_save_final", "final"),
    (generation, "generate_sets", "sets"),
)


def say(line: str) -> None:
    if PartialState().is_main_process:
        print(line, flush=True)


def announce(owner, name: str, phase: str) -> None:
    """Makes `owner.name` say when it begins and when it ends."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def announced(*args, **kwargs):
        say(phase)
        result = function(*args, **kwargs)
        say(f"{phase} done")
        return result

    setattr(owner, name, announced)


def pretrain(pretrained: str, output_dir: Path) -> None:
    """Two epochs, with dropout: the global random state matters."""
    args = GeneratorPretrainingConfig(
        output_dir=str(output_dir),
        resume_from_checkpoint="true",
        max_steps=10,
        per_device_train_batch_size=8 // PartialState().num_processes,
        learning_rate=1e-3,
        logging_steps=2,
        save_steps=3,
        eval_strategy="steps",
        eval_steps=4,
        probe_samples=4,
        disable_tqdm=True,
    )
    generator = Generator.load(pretrained, GeneratorArguments())
    for module in generator.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
    rows, labels = make_rows(48, relevant=0.9, seed=2)
    trainer = GeneratorPretrainingTrainer(generator, args, rows, labels, rows[:8], labels[:8])
    runs.run_training(trainer, "pretrain", [args])


def distill(pretrained: str, output_dir: Path) -> None:
    """Regenerates the pool every three steps, and saves every two."""
    trainer = make_distillation_trainer(
        pretrained,
        output_dir,
        resume_from_checkpoint="true",
        max_steps=13,
        lr_scheduler_type="cosine",
        logging_steps=3,
        save_strategy="steps",
        save_steps=2,
        eval_strategy="steps",
        eval_steps=5,
        probe_samples=4,
        inner_steps=3,
    )
    runs.run_training(trainer, "distill", [trainer.args])


def distill_with_stored_trajectories(pretrained: str, output_dir: Path) -> None:
    """Two trajectories, in turn; the best checkpoint is chosen at the end."""
    trainer = make_distillation_trainer(
        pretrained,
        output_dir,
        resume_from_checkpoint="true",
        max_steps=8,
        num_trajectories=2,
        logging_steps=2,
        save_strategy="steps",
        save_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        probe_samples=4,
        inner_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="gradient_cosine",
        greater_is_better=True,
    )
    runs.run_training(trainer, "distill", [trainer.args])


def generate(generator: str, output_dir: Path) -> None:
    """Two sets of two rows per label."""
    arguments = GenerationArguments(dpc=[2], num_sets=2, selection="random", over_sample_ratio=2)
    sets, _ = generation.generate_sets(Generator.load(generator, GeneratorArguments()), arguments, seed=0)
    with atomic_directory(output_dir) as directory:
        write_distilled(directory, sets, SPEC, run_metadata("generate", [arguments], sampling={}, task=SPEC.name))


def main(pretrained: str, output: Path) -> None:
    print(f"ready {os.getpid()}", flush=True)
    for phase in PHASES:
        announce(*phase)
    pretrain(pretrained, output / "pretrain")
    distill(str(output / "pretrain"), output / "distill")
    distill_with_stored_trajectories(str(output / "pretrain"), output / "stored")
    if PartialState().num_processes == 1:
        generate(str(output / "distill"), output / "sets")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    leave_processes()
