# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the tests of checkpoints share: runs that end before their time."""

import re
from pathlib import Path

import torch
from transformers import TrainerCallback

from ddg_hf.configs import GeneratorArguments
from ddg_hf.models.generator import Generator
from ddg_hf.provenance import check_output_dir
from ddg_hf.trainer.checkpoints import checkpoints_in, resume_requested
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
from ddg_hf.trainer.runs import run_training
from tests.trainer.helpers import assert_equal, make_distillation_trainer, make_rows, weights

TIMED = re.compile(r"second|runtime|memory")
BEST = {
    "eval_strategy": "steps",
    "eval_steps": 2,
    "load_best_model_at_end": True,
    "metric_for_best_model": "nll",
    "greater_is_better": False,
}


class Crash(BaseException):
    """Stands in for a kill."""


class CrashAt(TrainerCallback):
    """Ends the process, as it were, when update `step` begins."""

    def __init__(self, step: int):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Crash


def crash(*args, **kwargs):
    """Takes the place of a function in which a process is killed."""
    raise Crash


def make_trainer(pretrained: str, output_dir: Path, stage: str = "pretrain", crash_at: int | None = None, **arguments):
    """A trainer of a stage (`pretrain`: six steps an epoch, with dropout) that saves every two steps."""
    saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 8, "logging_steps": 3}
    arguments = saving | {"probe_samples": 0, "disable_tqdm": True} | arguments
    if stage == "distill":
        trainer = make_distillation_trainer(pretrained, output_dir, **({"inner_steps": 3} | arguments))
    else:
        defaults = {"per_device_train_batch_size": 8, "learning_rate": 1e-3}
        args = GeneratorPretrainingConfig(output_dir=str(output_dir), **(defaults | arguments))
        generator = Generator.load(pretrained, GeneratorArguments())
        for module in generator.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.1
        rows, labels = make_rows(48, relevant=0.9, seed=2)
        trainer = GeneratorPretrainingTrainer(generator, args, rows, labels, rows[:8], labels[:8])
    if crash_at is not None:
        trainer.add_callback(CrashAt(crash_at))
    return trainer


def run(trainer):
    """What the recipes do."""
    args = trainer.args
    stage = "distill" if hasattr(trainer, "pool") else "pretrain"
    check_output_dir(args.output_dir, args.overwrite, stage, resume_requested(args.resume_from_checkpoint))
    trainer.result = run_training(trainer, stage, [args])
    return trainer


def history(trainer) -> list[dict]:
    """Every line of the log, without times."""
    lines = trainer.state.log_history
    return [{k: v for k, v in line.items() if not TIMED.search(k)} for line in lines]


def assert_same_run(ours, theirs) -> None:
    assert history(ours) == history(theirs)
    assert_equal(weights(ours), weights(theirs))
    untimed = [{k: v for k, v in r.items() if not TIMED.search(k)} for r in (ours.result, theirs.result)]
    assert untimed[0] == untimed[1]
    for name in ("global_step", "epoch", "max_steps", "total_flos", "best_metric", "best_global_step"):
        assert getattr(ours.state, name) == getattr(theirs.state, name), name


def steps(directory: Path) -> list[int]:
    return [step for step, _ in checkpoints_in(directory)]
