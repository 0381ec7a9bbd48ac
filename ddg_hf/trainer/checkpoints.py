# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Checkpoints that are known to be whole: a manifest written last, and what is done about those that are not."""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..errors import UserError
from ..provenance import write_json

logger = logging.getLogger(__name__)

MANIFEST_FILE = "manifest.json"
# What a process writes beside the optimizer's state; a checkpoint without it holds the model alone.
ACCUMULATORS_FILE = "accumulators_{rank}.json"
_NAME = re.compile(rf"^{PREFIX_CHECKPOINT_DIR}-(\d+)$")
# Errors of the tokenizers' and of torch's writers, which have no class of their own; torch's do not say why.
_NAMED, _UNNAMED = (
    re.compile(r"\(os error \d+\)"),
    re.compile(r"PytorchStreamWriter|inline_container|basic_ios|iostream"),
)


# ---- the manifest ----


def write_manifest(directory: Path) -> None:
    """
    Writes `manifest.json` with the size in bytes and the SHA-256 of every file below `directory`.

    All of it is on the disk when this returns, so that even a power failure leaves a whole checkpoint or one that is
    known to be torn.
    """
    files = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != MANIFEST_FILE:
            with path.open("r+b") as file:
                os.fsync(file.fileno())
            files[path.relative_to(directory).as_posix()] = {"size": path.stat().st_size, "sha256": _sha256(path)}
    write_json(directory / MANIFEST_FILE, {"files": files})
    for changed in (directory, directory.parent):
        _sync_directory(changed)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":  # elsewhere a directory cannot be opened
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def defect(directory: Path, resumable: bool = True) -> str | None:
    """
    Why the checkpoint `directory` is not whole or, if `resumable`, why training cannot go on from it; `None` if all is
    well. Reads every file.
    """
    manifest = directory / MANIFEST_FILE
    if not manifest.is_file():
        return f"it has no {MANIFEST_FILE}, which is written last"
    try:
        files = {name: (e["size"], e["sha256"]) for name, e in json.loads(manifest.read_bytes())["files"].items()}
        for name, (size, _) in files.items():
            if not (directory / name).is_file():
                return f"{name} is missing"
            if (found := (directory / name).stat().st_size) != size:
                return f"{name} has {found} bytes instead of {size}"
        for name, (_, sha256) in files.items():
            if _sha256(directory / name) != sha256:
                return f"{name} is not what was written (SHA-256)"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"its {MANIFEST_FILE} cannot be understood"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if resumable and ACCUMULATORS_FILE.format(rank=0) not in files:
        return "it holds the model alone (--save_only_model)"
    return None


# ---- finding ----


def checkpoints_in(output_dir: str | os.PathLike) -> list[tuple[int, Path]]:
    """`(step, directory)` of the checkpoints in `output_dir`, whole or not, by step."""
    directory = Path(output_dir)
    entries = directory.iterdir() if directory.is_dir() else ()
    return sorted((int(m[1]), path) for path in entries if (m := _NAME.match(path.name)) and path.is_dir())


def last_whole_checkpoint(output_dir: str | os.PathLike) -> Path | None:
    """The newest checkpoint in `output_dir` that training can go on from; warns of those that it skips."""
    for _, path in reversed(checkpoints_in(output_dir)):
        reason = defect(path)
        if reason is None:
            return path
        logger.warning("checkpoint '%s' is skipped: %s", path, reason)
    return None


def resume_requested(resume: str | bool | None) -> bool:
    """
    Whether `--resume_from_checkpoint` asks to go on with a run: `true`, or a checkpoint's path.

    Raises:
        UserError: the path does not exist.
    """
    if str(resume).lower() in ("none", "false", "no", ""):
        return False
    if str(resume).lower() not in ("true", "yes") and not os.path.isdir(resume):
        raise UserError(f"checkpoint '{resume}' does not exist; pass a directory or 'true' for the last one")
    return True


def find_checkpoint(output_dir: str, resume: str | bool | None) -> str | None:
    """
    The checkpoint that `--resume_from_checkpoint` means: `true` is the newest whole one in `output_dir`, else a path.

    With `true` and no whole checkpoint, which is how a run looks that was killed early, there is a warning, and the
    run starts from the beginning.

    Raises:
        UserError: the path does not exist, or is not a whole checkpoint.
    """
    if not resume_requested(resume):
        return None
    if str(resume).lower() in ("true", "yes"):
        checkpoint = last_whole_checkpoint(output_dir)
        if checkpoint is None:
            logger.warning("'%s' holds no whole checkpoint: the run starts from the beginning", output_dir)
        return None if checkpoint is None else str(checkpoint)
    reason = defect(Path(resume))
    if reason is not None:
        raise UserError(f"checkpoint '{resume}' cannot be used: {reason}; pass another one or 'true' for the last one")
    return str(resume)


# ---- keeping and removing ----


def remove_checkpoint(directory: Path) -> None:
    """Removes a checkpoint, its manifest first, so that what an interruption leaves is known to be torn."""
    (directory / MANIFEST_FILE).unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)


def rotate_checkpoints(output_dir: str | os.PathLike, limit: int | None, current: Path, best: str | None) -> None:
    """
    Removes the oldest checkpoints beyond `limit`; never the `current` one nor the `best`.

    The order is that of the steps, not of the files' times, which do not survive copying and change when a removal is
    interrupted. First to go are torn ones, and those of later steps than the current one, which are from before the
    run went back.

    Args:
        output_dir: the run's directory.
        limit: how many are kept, all with `None` or 0.
        current, best: the one just written, and the one with the best metric.
    """
    if not limit or limit < 0:
        return
    found = checkpoints_in(output_dir)
    now = next(step for step, path in found if path.name == current.name)
    order = sorted(found, key=lambda item: ((item[1] / MANIFEST_FILE).is_file() and item[0] <= now, item[0]))
    kept = {current.name} | ({Path(best).name} if best else set())
    excess = len(order) - max(limit, len(kept))
    for path in [path for _, path in order if path.name not in kept][: max(0, excess)]:
        remove_checkpoint(path)


# ---- writing ----


def write_failure(error: BaseException) -> str | None:
    """What the system said, if `error` means that a file could not be written; else `None`."""
    if isinstance(error, UserError):
        return None
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = (str(error).strip().splitlines() or [""])[0][:200]
    if isinstance(error, SafetensorError) or _NAMED.search(text):
        return text
    if isinstance(error, RuntimeError) and _UNNAMED.search(str(error)):
        return f"{text}; usually a full disk"
    return None


@contextlib.contextmanager
def writing(directory: Path, run_dir: Path, remove: bool) -> Iterator[None]:
    """
    Explains why `directory`, which the block writes, could not be written; removes what there is of it if `remove`.

    Args:
        directory: what is written.
        run_dir: where the run's checkpoints are.
        remove: whether a failure of any kind removes `directory`.

    Raises:
        UserError: a file could not be written (disk full, quota, no permission, ...). Says where, why, what is needed
            and from which checkpoint the run can go on.
    """
    try:
        yield
    except BaseException as error:
        if remove:
            shutil.rmtree(directory, ignore_errors=True)
        reason = write_failure(error)
        if reason is None:
            raise
        raise UserError(_explain(directory, run_dir, reason)) from error


def _explain(directory: Path, run_dir: Path, reason: str) -> str:
    last, free = last_whole_checkpoint(run_dir), ""
    with contextlib.suppress(OSError):
        free = f"{shutil.disk_usage(run_dir).free // 10**6} MB are free on the disk of '{run_dir}'"
    if last is None:
        return f"'{directory}' could not be written ({reason}): {free}; free some. There is no whole checkpoint yet"
    size = -(-sum(path.stat().st_size for path in last.rglob("*") if path.is_file()) // 10**6)
    return (
        f"'{directory}' could not be written ({reason}): a checkpoint takes {size} MB, {free}; free some, then go on "
        f"from '{last}', the last whole one, with --resume_from_checkpoint true"
    )
