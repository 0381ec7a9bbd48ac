# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distilled sets as files: a dataset directory of Parquet with a card."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..cards.dataset_card import CARD_FILE, dataset_card, distilled_features
from ..data.rows import DistilledRow
from ..data.tasks import TaskSpec
from ..provenance import METADATA_FILE, write_json
from ..quality import CHECKS_FILE, checks_markdown
from .directory import DistilledDirectory, open_distilled


def distilled_table(rows: Sequence[DistilledRow], spec: TaskSpec) -> pa.Table:
    """Rows as an Arrow table that carries the `datasets` features, label names included; a NaN loss becomes null."""
    columns = {name: [row.texts[i] for row in rows] for i, name in enumerate(spec.text_columns)}
    columns |= {
        "label": [row.label for row in rows],
        "set": [row.set for row in rows],
        "generator_loss": [None if math.isnan(row.generator_loss) else row.generator_loss for row in rows],
    }
    return pa.Table.from_pydict(columns, schema=distilled_features(spec).arrow_schema)


def write_distilled(
    directory: Path,
    sets: dict[int, list[DistilledRow]],
    spec: TaskSpec,
    metadata: dict[str, Any],
    check: Callable[[DistilledDirectory], dict[str, Any]] | None = None,
) -> None:
    """
    Writes `dpc_<n>/train.parquet` for each n, `README.md` (the dataset card), `metadata.json`, and `checks.json` if
    the sets are checked.

    `load_dataset(directory, "dpc_<n>")` then loads the rows with their label names.

    Args:
        directory (`Path`): an existing, empty directory.
        sets (`dict[int, list[DistilledRow]]`): rows of all sets by rows per class.
        spec (`TaskSpec`): columns and label names.
        metadata (`dict`): what `metadata.json` holds; see [`~ddg_hf.provenance.run_metadata`].
        check (`Callable`, *optional*): checks the sets ([`~ddg_hf.quality.run_checks`]); its report is in the card.
    """
    for n, rows in sets.items():
        path = directory / f"dpc_{n}" / "train.parquet"
        path.parent.mkdir()
        # Not Dataset.to_parquet, which does not take a compression.
        pq.write_table(distilled_table(rows, spec), path, compression="zstd")
    write_json(directory / METADATA_FILE, metadata)
    opened, report = open_distilled(directory), None
    if check is not None:
        checks = check(opened)
        write_json(directory / CHECKS_FILE, checks)
        report = checks_markdown(checks)
    (directory / CARD_FILE).write_text(dataset_card(opened, checks=report), encoding="utf-8")
