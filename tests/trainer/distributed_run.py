# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Trains for a few steps with each trainer: `distributed_run.py PRETRAINED OUTPUT`, alone or under accelerate."""

import sys
from pathlib import Path

from ddg_hf.configs import GeneratorArguments
from ddg_hf.models.generator import Generator
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
from tests.trainer.helpers import make_distillation_trainer, make_rows


def main(pretrained: str, output: Path) -> None:
    """SGD, because Adam divides gradients that are all but zero by themselves."""
    common = {"max_steps": 3, "learning_rate": 0.5, "optim": "sgd", "lr_scheduler_type": "constant"}
    quiet = {"save_strategy": "no", "logging_steps": 1, "disable_tqdm": True, "probe_samples": 0}
    args = GeneratorPretrainingConfig(output_dir=str(output / "pretrain"), **common, **quiet)
    print(f"{args.world_size} processes", flush=True)
    args.per_device_train_batch_size = 8 // args.world_size
    generator = Generator.load(pretrained, GeneratorArguments())
    trainer = GeneratorPretrainingTrainer(generator, args, *make_rows(48, relevant=0.9, seed=2))
    trainer.train()
    trainer.save_model(str(output / "pretrain"))
    trainer.save_state()

    trainer = make_distillation_trainer(
        pretrained, output / "distill", **common, max_graph_tokens=100, temperature=0.5
    )
    trainer.train()
    trainer.save_model(str(output / "distill"))
    trainer.save_state()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
