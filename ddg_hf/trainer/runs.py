# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Runs a trainer from start (or checkpoint) to a finished output directory."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import UserError
from ..provenance import METADATA_FILE, read_json, run_metadata, write_json
from .checkpoints import checkpoints_in, find_checkpoint, resume_requested, writing
from .processes import Processes
from .trackers import trackers_open

logger = logging.getLogger(__name__)

STATE_FILE = "trainer_state.json"
_TEMPORARY = ".final."
_TOKENIZER = ("special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "*.model")
# Present while the run that was here before is being removed.
_REPLACING = ".replacing"

Result = TypeVar("Result")


def run_training(trainer, stage: str, arguments: list, **provenance) -> dict[str, float]:
    """
    Trains, evaluates, and writes the final model, `trainer_state.json` and `metadata.json` to the output directory.

    `metadata.json` comes last: a directory that has it holds a finished run. A finished run that is resumed for as
    many steps as it has made is left as it is.

    Args:
        trainer ([`~ddg_hf.trainer.generator_trainer.GeneratorTrainer`]): the trainer.
        stage (`str`): `pretrain` or `distill`.
        arguments (`list`): argument dataclasses to record.
        provenance: more to record (task, data fingerprint, ...).

    Returns:
        `dict[str, float]`: final metrics.

    Raises:
        UserError: the checkpoint to resume from cannot be used, or a file cannot be written (disk full, ...).
    """
    args = trainer.args
    output_dir = Path(args.output_dir)
    trainer.record = run_metadata(stage, arguments, **provenance)
    metrics, checkpoint = _on_main_process(trainer.processes, lambda: _where_to_start(output_dir, args))
    if metrics is not None:
        logger.warning("'%s' holds the finished run: nothing is left to train", output_dir)
        if trainer.is_world_process_zero():
            _remember(trainer, output_dir)
        _publish(trainer)
        return metrics
    if args.should_save:
        _prepare(output_dir, keep=resume_requested(args.resume_from_checkpoint))
    trainer.accelerator.wait_for_everyone()
    start = time.time()
    with trackers_open(trainer):
        trainer.train(resume_from_checkpoint=checkpoint)
        seconds = time.time() - start
        metrics = trainer.evaluate()
    with writing(output_dir, output_dir, remove=False):
        _save_final(trainer, output_dir)
        _write_card(trainer)
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
    _publish(trainer)
    return metrics


def _write_card(trainer) -> None:
    """Writes the model card. What is trained is saved: a card that cannot be written must not take it away."""
    try:
        trainer.create_model_card()
    except (UserError, OSError) as error:
        logger.warning("no model card was written: %s", error)


def _publish(trainer) -> None:
    """Publishes a finished run, if that is asked for. The run stays finished if it fails."""
    if not trainer.args.push_to_hub:
        return
    try:
        address = trainer.publish()
    except (UserError, OSError) as error:
        raise UserError(
            f"the run in '{trainer.args.output_dir}' is finished and saved, but: {error}. The same command with "
            "--resume_from_checkpoint true publishes it again"
        ) from None
    if address is not None:
        logger.info("published: %s", address)


def _remember(trainer, output_dir: Path) -> None:
    """Gives the trainer what a finished run has recorded, for its card."""
    trainer.record = _read_record(output_dir / METADATA_FILE)
    state = output_dir / STATE_FILE
    if state.is_file():
        trainer.state.log_history = read_json(state)["log_history"]


# ---- the beginning ----


def _on_main_process(processes: Processes, function: Callable[[], Result]) -> Result:
    """What `function` returns on the main process, on all of them; a `UserError` there is raised on all of them."""
    result, message = None, None
    if processes.index == 0:
        try:
            result = function()
        except UserError as error:
            message = str(error)
    result, message = processes.from_main((result, message))
    if message is not None:
        raise UserError(message)
    return result


def _where_to_start(output_dir: Path, args) -> tuple[dict[str, float] | None, str | None]:
    """The metrics of a run that is finished, or the checkpoint to resume from; neither: from the beginning."""
    resume = args.resume_from_checkpoint
    if not resume_requested(resume):
        return None, None
    if (output_dir / _REPLACING).exists() and (not os.path.isdir(resume) or output_dir.samefile(Path(resume).parent)):
        logger.warning("'%s' holds the rest of a run that was being overwritten; it is removed", output_dir)
        return None, None
    record = output_dir / METADATA_FILE
    content = _read_record(record) if record.is_file() else None
    if content is not None and _is_enough(content["arguments"], args):
        return content["metrics"], None
    checkpoint = find_checkpoint(args.output_dir, resume)
    if content is not None and checkpoint is None and not args.overwrite:
        raise UserError(
            f"'{output_dir}' holds a finished run and no whole checkpoint to go on from; pass --overwrite to train "
            "anew, or another --output_dir"
        )
    return None, checkpoint


def _read_record(path: Path) -> dict:
    """Reads the record of a finished run. Raises `UserError` if it is none."""
    content = read_json(path)
    parts = [content.get(key) for key in ("arguments", "metrics")] if isinstance(content, dict) else []
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise UserError(f"'{path}' is not the record of a finished run; pass --overwrite to train anew")
    return content


def _is_enough(recorded: dict, args) -> bool:
    """Whether a finished run with the `recorded` arguments has made the steps that `args` ask for."""
    steps, epochs = recorded.get("max_steps", -1), recorded.get("num_train_epochs", 0)
    if args.max_steps > 0:
        return args.max_steps <= steps
    return steps <= 0 and args.num_train_epochs <= epochs


def _prepare(output_dir: Path, keep: bool) -> None:
    """Removes what killed runs have left and, unless its checkpoints are to `keep`, the run that was here before."""
    if not output_dir.is_dir():
        return
    for path in [*output_dir.glob(f"{_TEMPORARY}*"), *output_dir.glob(f".{METADATA_FILE}.*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (output_dir / METADATA_FILE).unlink(missing_ok=True)  # from here on it is not finished
    marker = output_dir / _REPLACING
    if keep and not marker.exists():
        return
    # A kill in the middle must not leave a checkpoint of the old run for the new one to resume from.
    marker.touch()
    _remove_run(output_dir)
    marker.unlink()


def _remove_run(output_dir: Path) -> None:
    """Removes the checkpoints and model files of the run that is overwritten."""
    for _, directory in checkpoints_in(output_dir):
        shutil.rmtree(directory)
    for pattern in (
        "*.safetensors",
        "*.safetensors.index.json",
        "*config.json",
        "tokenizer*",
        "vocab.*",
        "merges.txt",
        *_TOKENIZER,
        STATE_FILE,
    ):
        for file in output_dir.glob(pattern):
            file.unlink()


# ---- the end ----


def _save_final(trainer, output_dir: Path) -> None:
    """Saves model and trainer state under a temporary name and moves the whole files to their places."""
    if not trainer.args.should_save:
        trainer.save_model(str(output_dir), _internal_call=True)
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=output_dir))
    try:
        trainer.save_model(str(temporary), _internal_call=True)
        trainer.state.save_to_json(str(temporary / STATE_FILE))
        for file in temporary.iterdir():
            if (output_dir / file.name).is_dir():
                shutil.rmtree(output_dir / file.name)
            os.replace(file, output_dir / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
