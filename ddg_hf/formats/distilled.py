# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distilled sets as files: a dataset directory of Parquet with a card."""

from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets import ClassLabel, Features, Value

from ..data.tasks import TaskSpec
from ..generation import DistilledRow
from ..provenance import METADATA_FILE, write_json


def distilled_features(spec: TaskSpec) -> Features:
    """Columns of a distilled set: the task's text columns, `label`, `set` and `generator_loss`."""
    return Features(
        {
            **{name: Value("string") for name in spec.text_columns},
            "label": ClassLabel(names=list(spec.label_names)),
            "set": Value("int32"),
            "generator_loss": Value("float32"),
        }
    )


def distilled_table(rows: Sequence[DistilledRow], spec: TaskSpec) -> pa.Table:
    """Rows as an Arrow table that carries the `datasets` features, label names included."""
    columns = {name: [row.texts[i] for row in rows] for i, name in enumerate(spec.text_columns)}
    columns |= {
        "label": [row.label for row in rows],
        "set": [row.set for row in rows],
        "generator_loss": [row.generator_loss for row in rows],
    }
    return pa.Table.from_pydict(columns, schema=distilled_features(spec).arrow_schema)


def write_distilled(
    directory: Path, sets: dict[int, list[DistilledRow]], spec: TaskSpec, metadata: dict[str, Any]
) -> None:
    """
    Writes `dpc_<n>/train.parquet` for each n, `README.md` (the dataset card) and `metadata.json`.

    `load_dataset(directory, "dpc_<n>")` then loads the rows with their label names.

    Args:
        directory (`Path`): an existing, empty directory.
        sets (`dict[int, list[DistilledRow]]`): rows of all sets by rows per class.
        spec (`TaskSpec`): columns and label names.
        metadata (`dict`): what `metadata.json` holds; see [`~ddg_hf.provenance.run_metadata`].
    """
    for n, rows in sets.items():
        path = directory / f"dpc_{n}" / "train.parquet"
        path.parent.mkdir()
        # Not Dataset.to_parquet, which does not take a compression.
        pq.write_table(distilled_table(rows, spec), path, compression="zstd")
    (directory / "README.md").write_text(dataset_card(sets, spec, metadata), encoding="utf-8")
    write_json(directory / METADATA_FILE, metadata)


def dataset_card(sets: dict[int, list[DistilledRow]], spec: TaskSpec, metadata: dict[str, Any]) -> str:
    """The dataset card: YAML header with `configs:`, how the sets were made, and how to load them."""
    arguments = metadata["arguments"]
    header = {
        "language": ["en"],
        "task_categories": ["text-classification"],
        "tags": ["ddg_hf", "synthetic", "dataset-distillation", "in-context-learning"],
        "configs": [
            {"config_name": f"dpc_{n}", "data_files": [{"split": "train", "path": f"dpc_{n}/train.parquet"}]}
            for n in sets
        ],
    }
    counts = Counter((n, row.label) for n, rows in sets.items() for row in rows)
    lines = ["| configuration | sets | rows | rows per class and set |", "| --- | --- | --- | --- |"]
    for n, rows in sets.items():
        num_sets = len({row.set for row in rows})
        per_class = sorted({counts[n, label] // num_sets for label in range(spec.num_labels)})
        lines.append(f"| `dpc_{n}` | {num_sets} | {len(rows)} | {', '.join(map(str, per_class))} |")
    template = resources.files("ddg_hf").joinpath("templates/dataset_card.md").read_text(encoding="utf-8")
    first = next(iter(sets))
    return template.format(
        header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True).strip(),
        task=spec.name,
        description=spec.description,
        labels=", ".join(f"`{name}`" for name in spec.label_names[:30]) + (", ..." if spec.num_labels > 30 else ""),
        configurations="\n".join(lines),
        config=f"dpc_{first}",
        columns=", ".join(f"`{name}`" for name in spec.text_columns),
        generator=arguments.get("generator"),
        selection=arguments.get("selection"),
        over_sample_ratio=arguments.get("over_sample_ratio"),
        seed=arguments.get("seed"),
        version=metadata["ddg_hf_version"],
        sampling="\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in metadata["sampling"].items()),
    )
