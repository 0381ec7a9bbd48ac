# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Runs a trainer from start (or checkpoint) to a finished output directory."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint

from ..errors import UserError
from ..provenance import METADATA_FILE, run_metadata, write_json


def find_checkpoint(output_dir: str, resume: str | None) -> str | None:
    """
    The checkpoint that `--resume_from_checkpoint` means: `true` is the last one in `output_dir`, else its path.

    Raises:
        UserError: there is none.
    """
    if resume is None or str(resume).lower() in ("false", "no", ""):
        return None
    if str(resume).lower() in ("true", "yes"):
        checkpoint = get_last_checkpoint(output_dir) if os.path.isdir(output_dir) else None
        if checkpoint is None:
            raise UserError(f"'{output_dir}' holds no checkpoint to resume from; drop --resume_from_checkpoint")
        return checkpoint
    if not os.path.isdir(resume):
        raise UserError(f"checkpoint '{resume}' does not exist; pass a directory or 'true' for the last one")
    return resume


def run_training(trainer, stage: str, arguments: list, **provenance) -> dict[str, float]:
    """
    Trains, evaluates, and writes the final model, `trainer_state.json` and `metadata.json` to the output directory.

    `metadata.json` comes last: a directory that has it holds a finished run.

    Args:
        trainer ([`~ddg_hf.trainer.generator_trainer.GeneratorTrainer`]): the trainer.
        stage (`str`): `pretrain` or `distill`.
        arguments (`list`): argument dataclasses to record.
        provenance: more to record (task, data fingerprint, ...).

    Returns:
        `dict[str, float]`: final metrics.
    """
    args = trainer.args
    output_dir = Path(args.output_dir)
    checkpoint = find_checkpoint(args.output_dir, args.resume_from_checkpoint)
    if args.should_save and output_dir.is_dir():
        (output_dir / METADATA_FILE).unlink(missing_ok=True)  # from here on it is not finished
        if checkpoint is None:
            _remove_run(output_dir)
    start = time.time()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.time() - start
    metrics = trainer.evaluate()
    _save_final(trainer, output_dir)
    trainer.save_state()
    if args.should_save:
        content = run_metadata(
            stage,
            arguments,
            metrics=metrics,
            train_seconds=round(seconds, 1),
            num_processes=args.world_size,
            **provenance,
        )
        write_json(output_dir / METADATA_FILE, content)
    trainer.accelerator.wait_for_everyone()
    return metrics


def _remove_run(output_dir: Path) -> None:
    """Removes the checkpoints and model files of the run that is overwritten."""
    for directory in output_dir.glob("checkpoint-*"):
        shutil.rmtree(directory)
    for pattern in ("*.safetensors", "*.safetensors.index.json", "*config.json", "tokenizer*", "trainer_state.json"):
        for file in output_dir.glob(pattern):
            file.unlink()


def _save_final(trainer, output_dir: Path) -> None:
    """Saves the model under a temporary name and moves the whole files to their places."""
    if not trainer.args.should_save:
        trainer.save_model(str(output_dir), _internal_call=True)
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".final.", dir=output_dir))
    try:
        trainer.save_model(str(temporary), _internal_call=True)
        for file in temporary.iterdir():
            if (output_dir / file.name).is_dir():
                shutil.rmtree(output_dir / file.name)
            os.replace(file, output_dir / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
