# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Files of an evaluation: `results.json`, which people read, and `predictions.parquet`. Whole or absent. And what both
name in the same way.
"""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..provenance import atomic_file

RESULTS_FILE = "results.json"
PREDICTIONS_FILE = "predictions.parquet"
# Kinds of predictions and what the names of their metrics begin with. All but the first need log-probabilities.
PREFIXES = {
    "raw": "",
    "length_normalized": "length_normalized_",
    "contextual": "contextual_",
    "calibrated": "calibrated_",
}
# The prediction where there is no readable answer, or the query failed.
UNPARSABLE = -1

_NUMBER = r"(?:-?[\d.]+(?:[eE][-+]?\d+)?|null)"
# Real newlines occur between the parts of a JSON text, never inside its strings.
_NUMBERS = re.compile(rf"\[\n\s+{_NUMBER}(?:,\n\s+{_NUMBER})*\n\s+\]")
_NAMED_NUMBERS = re.compile(rf'\{{\n\s+"\w+": {_NUMBER}(?:,\n\s+"\w+": {_NUMBER}){{0,5}}\n\s+\}}')


def write_parquet(path: Path, table: pa.Table) -> None:
    """Writes a table under a temporary name and renames it."""
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def dump_readable(content: Any) -> str:
    """
    Returns `content` as indented JSON in which a list of numbers, or a mapping of a few names to numbers, takes one
    line: a confusion matrix has a line for each row.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not have.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)

    def on_one_line(match: re.Match) -> str:
        return re.sub(r"\n\s+", " ", match[0]).replace("[ ", "[").replace(" ]", "]")

    return _NAMED_NUMBERS.sub(on_one_line, _NUMBERS.sub(on_one_line, text)) + "\n"


def write_readable_json(path: Path, content: Any) -> None:
    """Writes [`dump_readable`] under a temporary name and renames it."""
    text = dump_readable(content)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
