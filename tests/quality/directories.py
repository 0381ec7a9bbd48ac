# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Directories of made-up sets."""

from pathlib import Path

import pyarrow.parquet as pq

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.formats.distilled import distilled_table
from ddg_hf.generation import DistilledRow

SPEC = TaskSpec(name="films", text_columns=("text",), label_names=("negative", "positive"))


def write_directory(path: Path, configs: dict[str, list[tuple[str, int, int]]]) -> Path:
    """Writes configurations of rows (text, label, set) without any metadata, and returns the path."""
    for config, rows in configs.items():
        (path / config).mkdir(parents=True)
        table = distilled_table([DistilledRow((text,), label, number, 1.0) for text, label, number in rows], SPEC)
        pq.write_table(table, path / config / "train.parquet")
    return path
