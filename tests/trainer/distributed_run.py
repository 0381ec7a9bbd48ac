# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Trains for a few steps in each of several ways and records gradients and changes of the weights.

    distributed_run.py PRETRAINED OUTPUT [permute|drop]

alone or under accelerate. `permute` exchanges the coefficients of the last process's rows, `drop` forgets its
gradients: what a comparison with one process must notice.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from ddg_hf.cli import leave_processes
from ddg_hf.configs import GeneratorArguments
from ddg_hf.models.generator import Generator
from ddg_hf.trainer.distillation_trainer import DistillationTrainer
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
from tests.trainer.helpers import make_distillation_trainer, make_rows

# SGD, because Adam divides gradients that are all but zero by themselves. Texts change little, so pools stay the same.
COMMON = {"max_steps": 3, "learning_rate": 0.5, "optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 1.0}
QUIET = {"save_strategy": "no", "logging_steps": 1, "disable_tqdm": True, "probe_samples": 0}
DISTILLATIONS = {
    "head": {"normalize_temperature": 0.5, "max_graph_tokens": 100, "generate_interval": 1, "inner_steps": 2},
    "head_accumulated": {"gradient_accumulation_steps": 2, "teacher_accumulation": 2, "student": "shared"},
    "all": {"match_parameters": "all", "gradient_accumulation_steps": 2, "lm_lambda": 0.2, "lm_batch_size": 5},
    "stored": {"num_trajectories": 2, "inner_steps": 2, "labels_per_step": 1, "tokens_per_micro_batch": 30},
}


def recorded(trainer, output: Path) -> None:
    """Trains, and writes `gradients.safetensors` (of each step, before clipping) and `change.safetensors`."""
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    gradients: dict[str, torch.Tensor] = {}
    clip = trainer._clip_grad_norm

    def record(model):
        for name, parameter in trainer.model.named_parameters():
            gradients[f"{trainer.state.global_step}.{name}"] = parameter.grad.clone()
        return clip(model)

    trainer._clip_grad_norm = record
    trainer.train()
    if trainer.args.should_save:
        output.mkdir(parents=True, exist_ok=True)
        save_file(gradients, output / "gradients.safetensors")
        change = {n: p.detach() - before[n] for n, p in trainer.model.named_parameters()}
        save_file(change, output / "change.safetensors")
    trainer.save_state()


def spoil(how: str) -> None:
    """Makes the last process do the wrong thing."""
    objective = DistillationTrainer._objective
    backward = DistillationTrainer.backward

    def permuted(self, batch, nll_J, mine):
        loss, coefficients_J = objective(self, batch, nll_J, mine)
        coefficients_J[mine] = coefficients_J[mine].roll(1)
        return loss, coefficients_J

    def dropped(self, loss):
        backward(self, loss * 0)

    def on_last(wrong, right):
        def method(self, *args):
            is_last = self.args.process_index == self.args.world_size - 1
            return (wrong if is_last else right)(self, *args)

        return method

    if how == "permute":
        DistillationTrainer._objective = on_last(permuted, objective)
    else:
        DistillationTrainer.backward = on_last(dropped, backward)
        GeneratorPretrainingTrainer.backward = on_last(dropped, backward)


def main(pretrained: str, output: Path, how: str | None = None) -> None:
    if how is not None:
        spoil(how)
    sizes = {"gradient_accumulation_steps": 2, "tokens_per_micro_batch": 24}
    args = GeneratorPretrainingConfig(output_dir=str(output / "pretrain"), **sizes, **COMMON, **QUIET)
    print(f"{args.world_size} processes", flush=True)
    args.per_device_train_batch_size = 8 // args.world_size
    generator = Generator.load(pretrained, GeneratorArguments())
    recorded(GeneratorPretrainingTrainer(generator, args, *make_rows(48, relevant=0.9, seed=2)), output / "pretrain")
    for name, arguments in DISTILLATIONS.items():
        trainer = make_distillation_trainer(pretrained, output / name, **(COMMON | arguments))
        recorded(trainer, output / name)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    leave_processes()
