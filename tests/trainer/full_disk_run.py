# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Writes checkpoints that meet a limit of the size of files: `full_disk_run.py PRETRAINED OUTPUT`.

The limit is a little below the size of each file of a checkpoint in turn, as another run writes it at the same step
(times in logs have more digits or fewer). Prints the messages, with the steps of the checkpoints that are whole after
each failure; the last failure is that of a command, exit code 2.
"""

import json
import resource
import sys
from pathlib import Path

from ddg_hf import cli
from ddg_hf.errors import UserError
from ddg_hf.trainer.checkpoints import checkpoints_in, defect
from ddg_hf.trainer.runs import run_training
from tests.trainer.helpers import make_distillation_trainer


def limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def train(pretrained: str, output: str, max_steps: int) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 1, "resume_from_checkpoint": "true"}
    trainer = make_distillation_trainer(pretrained, Path(output), max_steps=max_steps, **saving)
    run_training(trainer, "distill", [trainer.args])


def main(pretrained: str, output: str) -> int:
    train(pretrained, f"{output}_unlimited", max_steps=6)
    written = (Path(f"{output}_unlimited") / "checkpoint-6").iterdir()
    limits = sorted({path.stat().st_size * 19 // 20 for path in written if path.stat().st_size > 1000})
    train(pretrained, output, max_steps=4)
    failures = []
    for size in limits:
        limit(size)
        try:
            train(pretrained, output, max_steps=6)
        except UserError as error:
            whole = [step for step, path in checkpoints_in(output) if defect(path) is None]
            failures.append((str(error), whole))
        finally:
            limit(resource.RLIM_INFINITY)
    print(json.dumps(failures), flush=True)
    limit(limits[0])
    return cli.run(lambda argv: train(pretrained, output, max_steps=6))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
