# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Trains with each trainer and samples on the way: `sharded_run.py PRETRAINED OUTPUT`, alone or sharded by accelerate.

Below OUTPUT: `pretrain` and `distill`, with what the processes saw; `resumed`, from a checkpoint of `pretrain`;
`best`, whose last act is to load the best of its checkpoints.
"""

import functools
import json
import os
import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from transformers import TrainerCallback

from ddg_hf.cli import leave_processes
from ddg_hf.configs import GeneratorArguments
from ddg_hf.losses.generation import chunked_token_nll
from ddg_hf.models import nll
from ddg_hf.models.generator import Generator
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
from ddg_hf.trainer.sharding import gathered
from tests.trainer.helpers import make_distillation_trainer, make_rows

COMMON = {
    "lr_scheduler_type": "constant",
    "logging_steps": 1,
    "disable_tqdm": True,
    "gradient_accumulation_steps": 2,
    "tokens_per_micro_batch": 18,
    "max_grad_norm": 1.0,
}


def as_accelerators() -> dict:
    """accelerate shards on accelerators only: makes it take these CPU processes for some."""
    AcceleratorState._reset_state(reset_partial_state=True)
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    elif os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        PartialState(backend="gloo")
    else:
        return {}
    return {"accelerator_config": {"use_configured_state": True}}


def shard_everything(trainer) -> None:
    """ZeRO-3 would leave parameters as small as these whole."""
    plugin = trainer.accelerator.state.deepspeed_plugin
    if plugin is not None:
        plugin.deepspeed_config["zero_optimization"]["stage3_param_persistence_threshold"] = 0


def uneven_rows(num_rows: int, seed: int):
    """Texts of one, two or nine words, so that processes have different numbers of micro-batches and of chunks."""
    rows, labels = make_rows(num_rows, relevant=0.9, seed=seed)
    return [(" ".join((row[0].split() * 9)[: (1, 2, 9)[7 * i % 11 % 3]]),) for i, row in enumerate(rows)], labels


class Witness(TrainerCallback):
    """Writes down how many micro-batches a process has, and what it samples before the first step."""

    def __init__(self, trainer, output: Path):
        self.trainer, self.output, self.counts = trainer, output, []
        split = trainer.micro_batches

        def counted(lengths):
            micro_batches = split(lengths)
            self.counts.append(len(micro_batches))
            return micro_batches

        trainer.micro_batches = counted
        trainer.add_callback(self)

    def on_train_begin(self, args, state, control, **kwargs):
        generator, main = self.trainer.generator, args.process_index == 0
        with gathered(self.trainer.model_wrapped) as model:
            chunks = [generator.sample(chunk % 2, chunk, "witness", model=model) for chunk in range(3 if main else 1)]
        self.write("samples", chunks)

    def on_train_end(self, args, state, control, **kwargs):
        self.write("counts", self.counts)

    def write(self, name: str, content) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / f"{name}_{self.trainer.args.process_index}.json").write_text(json.dumps(content))


def make_pretraining_trainer(pretrained: str, output: Path, rows=None, **arguments):
    args = GeneratorPretrainingConfig(output_dir=str(output), **(COMMON | arguments), **as_accelerators())
    args.per_device_train_batch_size = 8 // args.world_size
    rows, held_out = rows or uneven_rows(96, seed=2), make_rows(20, relevant=0.9, seed=7)
    trainer = GeneratorPretrainingTrainer(Generator.load(pretrained, GeneratorArguments()), args, *rows, *held_out)
    shard_everything(trainer)
    return trainer


def finish(trainer, **arguments) -> None:
    trainer.train(**arguments)
    trainer.evaluate()
    trainer.save_model(trainer.args.output_dir)
    trainer.save_state()


def main(pretrained: str, output: Path) -> None:
    # A loss in many chunks, as large vocabularies have it
    nll.chunked_token_nll = functools.partial(chunked_token_nll, max_logits=60)
    # Gradients that are all but zero must not be divided by themselves.
    adam = {"optim": "adamw_torch", "learning_rate": 1e-3, "weight_decay": 0.1, "adam_epsilon": 1e-4}
    saving = adam | {"save_strategy": "steps", "save_steps": 2, "max_steps": 4, "probe_samples": 70}
    trainer = make_pretraining_trainer(pretrained, output / "pretrain", **saving)
    print(f"{trainer.args.world_size} processes, sharded: {trainer.is_sharded}", flush=True)
    Witness(trainer, output / "pretrain")
    finish(trainer)
    trainer = make_pretraining_trainer(pretrained, output / "resumed", **saving)
    finish(trainer, resume_from_checkpoint=str(output / "pretrain" / "checkpoint-2"))
    # The less it has learned, the better: the first checkpoint is the best one.
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_nll", "greater_is_better": True}
    arguments = saving | best | {"eval_strategy": "steps", "eval_steps": 2, "probe_samples": 0}
    rows = make_rows(96, relevant=0.9, seed=2)
    finish(make_pretraining_trainer(pretrained, output / "best", rows, **arguments))

    arguments = {"optim": "sgd", "learning_rate": 0.3, "max_steps": 4, "inner_steps": 2, "tokens_per_micro_batch": 14}
    arguments |= {"normalize_temperature": 0.5, "probe_samples": 70, "eval_snapshots": 1}
    # An odd number of rows, so that processes have different numbers of micro-batches here too
    arguments |= {"lm_lambda": 0.2, "lm_batch_size": 3}
    trainer = make_distillation_trainer(pretrained, output / "distill", **(COMMON | arguments | as_accelerators()))
    shard_everything(trainer)
    Witness(trainer, output / "distill")
    finish(trainer)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    leave_processes()
