# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The task that distilled sets belong to, as they say themselves."""

import json
from pathlib import Path

from datasets import ClassLabel, Features, Value, load_dataset
from datasets.exceptions import DatasetsError

from ddg_hf.data.tasks import TASKS, TaskSpec
from ddg_hf.errors import UserError
from ddg_hf.formats.directory import as_dataset
from ddg_hf.formats.reading import open_source
from ddg_hf.provenance import METADATA_FILE

from .distilled import available_dpc


def describe_distilled(source: str) -> TaskSpec:
    """
    Returns the task of distilled sets: the registered one that `metadata.json` names if columns and label names are
    its own, else a task with the columns and label names of the sets.

    Args:
        source: A directory that `generate` wrote, or the same on the Hub.

    Raises:
        UserError: there are no such sets, or they do not carry their label names.
    """
    features = _features(source, f"dpc_{available_dpc(source)[0]}")
    label = features.get("label")
    if not isinstance(label, ClassLabel):
        raise UserError(f"'{source}' does not say what its labels are called: pass the task")
    columns = tuple(name for name, kind in features.items() if isinstance(kind, Value) and kind.dtype == "string")
    registered = TASKS.get(_task_name(source))
    if registered is not None and (registered.text_columns, registered.label_names) == (columns, tuple(label.names)):
        return registered
    fields = ("Text",) if len(columns) == 1 else tuple(f"Text {i + 1}" for i in range(len(columns)))
    return TaskSpec(name=Path(source).name, text_columns=columns, label_names=tuple(label.names), field_names=fields)


def _features(source: str, config: str) -> Features:
    folder = Path(source).expanduser()
    if folder.is_dir():
        file = folder / config / "train.parquet"
        if not file.is_file():
            raise UserError(
                f"'{source}' has no {config}/train.parquet to say what its labels are called; pass the task"
            )
        return as_dataset(open_source(file).schema.empty_table(), file).features
    try:
        return load_dataset(source, config, split="train").features
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, DatasetsError) as error:
        raise UserError(f"cannot load '{source}': {' '.join(str(error).split())[:300]}") from error


def _task_name(source: str) -> str | None:
    """The task that `metadata.json` names, if it is there."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    file = Path(source).expanduser() / METADATA_FILE
    if not Path(source).expanduser().is_dir():
        try:
            file = Path(hf_hub_download(source, METADATA_FILE, repo_type="dataset"))
        except EntryNotFoundError:
            return None
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise UserError(f"'{file}' is not JSON: {error}") from error
    return content.get("task") if isinstance(content, dict) else None
