# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Output directories that are either whole or recognisably unfinished, and the record of how they were made."""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .errors import UserError

METADATA_FILE = "metadata.json"
_START = time.time()
_SECRET_KEY = re.compile(r"(^|_)(token|secret|password|api_key|key)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\b(hf_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{8,})")
_PACKAGES = ("torch", "transformers", "accelerate", "datasets", "huggingface_hub", "evaluate", "scikit-learn", "numpy")


def redact(value: Any, key: str = "") -> Any:
    """
    Returns `value` with secrets replaced by `<redacted>`, by the name of the key (`hub_token`, `k`, ...) and by the
    look of the value, at any depth of lists and mappings.
    """
    if isinstance(value, dict):
        return {k: redact(v, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(v, key) for v in value]
    if value is not None and value != "" and (key == "k" or _SECRET_KEY.search(key)) and isinstance(value, str):
        return "<redacted>"
    if isinstance(value, str):
        return _SECRET_VALUE.sub("<redacted>", value)
    return value


# Names of values that are directories or files of this machine when they look like one.
_PATH_KEY = re.compile(
    r"(_dir|_path|_file|_files|_checkpoint)$|^(directory|source|target|dataset|generator|learner|model|distilled|output"
    r"|demonstrations|training_rows|train|validation|test|config|output_dir)$"
)


def published_record(value: Any, key: str = "") -> Any:
    """
    Returns a record without secrets and without directories of this machine.

    Of an absolute path, if it is one of this machine or under a key that names one (`generator`, `output_dir`, ...),
    the last part is kept; in other texts the home directory becomes `~`.
    """
    if isinstance(value, dict):
        return {name: published_record(item, str(name)) for name, item in redact(value).items()}
    if isinstance(value, list):
        return [published_record(item, key) for item in value]
    if not isinstance(value, str):
        return value
    bare = value.removeprefix("file://")
    absolute = PurePosixPath(bare).is_absolute() or PureWindowsPath(bare).is_absolute()
    names_path = bool(_PATH_KEY.search(key)) and (absolute or bare.startswith(("~", "..")))
    if names_path or (absolute and 1 < len(bare) < 1024 and os.path.exists(bare)):
        return PureWindowsPath(bare).name  # splits at both kinds of slashes
    home = str(Path.home())
    return re.sub(rf"(?<![\w.~-]){re.escape(home)}(?=/|$)", "~", value) if len(home) > 1 else value


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields the path of a temporary file beside `path` that takes its name on success and is removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes JSON under a temporary name and renames it, so that `path` never holds half a file."""
    with atomic_file(Path(path)) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, ensure_ascii=False, default=str)
            file.write("\n")


def read_json(path: Path, what: str = "") -> Any:
    """Returns the content of a JSON file. Raises `UserError` if it cannot be read; `what` says what is in it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {what}'{path}': {' '.join(str(error).split())}") from error


def check_output_dir(
    output_dir: str | None, overwrite: bool, stage: str | None = None, resume: bool = False, replaces: bool = False
) -> Path:
    """
    Returns `output_dir` as a path, after making sure that nothing there would be lost unasked.

    Args:
        output_dir: Where the results go.
        overwrite: Whether a finished run there may be replaced.
        stage: The stage that is about to run; only a run of the same stage may be replaced.
        resume: Whether a run there is continued.
        replaces: Whether the stage replaces the whole directory ([`atomic_directory`]).

    Raises:
        UserError: no directory given, it is a file, it holds a finished run and neither `overwrite` nor `resume`, an
            unfinished training run, the run of another stage, or (with `replaces`) files that are no run.
    """
    if not output_dir:
        raise UserError("--output_dir is missing: say where the results go")
    path = Path(output_dir)
    if path.exists() and not path.is_dir():
        raise UserError(f"--output_dir '{path}' is a file; give a directory")
    record = path / METADATA_FILE
    if record.is_file() and not overwrite and not resume:
        raise UserError(
            f"'{path}' already holds a finished run; pass --overwrite to replace it or another --output_dir"
        )
    if record.is_file() and stage is not None:
        other = _stage_of(record)
        if other != stage:
            raise UserError(
                f"'{path}' holds a run of `{other or 'something else'}`, which `{stage}` does not replace; give "
                "another directory"
            )
    if not resume and not overwrite and path.is_dir() and any(path.glob("checkpoint-*")):
        raise UserError(
            f"'{path}' holds an unfinished run; pass --resume_from_checkpoint true to continue it or --overwrite"
        )
    if replaces:
        _check_replaceable(path)
    return path


def _stage_of(record: Path) -> str | None:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{record}' is not valid JSON; give another --output_dir") from error
    return content.get("stage") if isinstance(content, dict) else None


def _check_replaceable(path: Path) -> None:
    """Raises `UserError` if replacing the directory `path` would remove files that are not a run's."""
    if Path.cwd().is_relative_to(path.resolve()):
        raise UserError(f"--output_dir '{path}' contains the working directory; give one of its own for this run")
    if path.is_dir() and any(path.iterdir()) and not (path / METADATA_FILE).is_file():
        raise UserError(f"'{path}' holds files that are not a finished run; give a new directory or empty it")


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """
    Yields a temporary directory beside `path` that takes its place on success and is removed on failure.

    Raises:
        UserError: `path` holds files that are not a finished run.
    """
    _check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        old = None
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            os.replace(path, old / path.name)
        try:
            os.replace(temporary, path)
        except BaseException:
            if old is not None:
                os.replace(old / path.name, path)
                old.rmdir()
            raise
        if old is not None:
            shutil.rmtree(old)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def peak_memory_mb() -> float | None:
    """Greatest resident memory of this process so far, MiB; `None` where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def source_commit() -> str | None:
    """The commit of the checkout that this package runs from, or `None` if it is installed from elsewhere."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here
        return None
    return found.stdout.strip() or None


def recorded_run(directory: str | os.PathLike | None) -> dict[str, Any] | None:
    """
    What the run that wrote `directory` recorded of itself, as far as later stages repeat it, or `None` if `directory`
    holds no run (a model of the Hub, for example).

    Raises:
        UserError: the record cannot be read.
    """
    record = Path(directory) / METADATA_FILE if directory is not None else None
    if record is None or not record.is_file():
        return None
    content = read_json(record)
    if not isinstance(content, dict):
        raise UserError(f"'{record}' does not hold a JSON object; it is not the record of a run")
    kept = ("stage", "task", "ddg_hf_version", "ddg_hf_commit", "arguments", "metrics", "generator_run")
    return {name: content[name] for name in kept if name in content}


def run_metadata(stage: str, arguments: list[Any], **extra: Any) -> dict[str, Any]:
    """
    The record of a run: stage, arguments (dataclasses, secrets redacted), versions, machine, time and peak memory of
    the process, and `extra` (data fingerprint, measurements, ...).
    """
    merged: dict[str, Any] = {}
    for item in arguments:
        # TrainingArguments has its own `to_dict`, which knows about enums
        merged.update(item.to_dict() if hasattr(item, "to_dict") else dataclasses.asdict(item))
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    from .version import __version__

    return {
        "stage": stage,
        "ddg_hf_version": __version__,
        "ddg_hf_commit": source_commit(),
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "arguments": redact(merged),
        "versions": {"python": platform.python_version(), **versions},
        "machine": {"platform": platform.platform(), "cpu_count": os.cpu_count()},
        # Of the process, which may have run other stages before.
        "process_seconds": round(time.time() - _START, 1),
        "process_peak_memory_mb": peak_memory_mb(),
        **extra,
    }
