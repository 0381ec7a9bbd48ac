# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distilled sets as files: a dataset directory of Parquet with a card."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..cards.card import CARD_FILE
from ..cards.dataset_card import dataset_card, distilled_features, read_local_card
from ..data.rows import DistilledRow
from ..data.tasks import TaskSpec
from ..provenance import METADATA_FILE, atomic_file, write_json
from ..quality import CHECKS_FILE, checks_markdown
from .directory import open_distilled


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
    write_json(directory / METADATA_FILE, metadata)
    (directory / CARD_FILE).write_text(str(dataset_card(open_distilled(directory))), encoding="utf-8", newline="\n")


def write_checks(directory: Path, checks: dict[str, Any]) -> None:
    """
    Writes the report of [`~ddg_hf.quality.run_checks`] into a directory of distilled sets, and into its card.

    Raises:
        UserError: the card in the directory cannot be read.
    """
    write_json(directory / CHECKS_FILE, checks)
    card = read_local_card(directory)
    if card is None:
        card = dataset_card(open_distilled(directory))
    with atomic_file(directory / CARD_FILE) as temporary:
        temporary.write_text(str(card.with_block("checks", checks_markdown(checks))), encoding="utf-8", newline="\n")
