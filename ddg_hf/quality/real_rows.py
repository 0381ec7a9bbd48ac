# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Real rows to compare distilled sets with, from single files."""

import os
from pathlib import Path

from ..data.checks import check_columns, check_no_nulls, check_rows, column_values, is_string, standardise
from ..data.loading import read_file
from ..data.rows import rows_and_labels
from ..data.tasks import TaskSpec
from ..errors import UserError
from .findings import Texts


def read_real_rows(file: str | Path, spec: TaskSpec, labelled: bool) -> tuple[list[Texts], list[int] | None]:
    """
    Reads the rows of a Parquet, CSV, TSV, JSON or JSON Lines file.

    Args:
        file: Its path.
        spec: The task; the file has its text columns, and `label` (or `labels`) if `labelled`.
        labelled: Whether the labels are needed. Otherwise they are not looked at.

    Returns:
        N rows, and N label ids or `None`.

    Raises:
        UserError: the file cannot be read, or lacks a column, or has missing values or unknown labels.
    """
    path = Path(os.path.expanduser(file))
    if not path.is_file():
        raise UserError(f"'{file}' is no file of rows")
    name = str(file)
    rows = read_file(path, spec.text_columns, spec.text_columns, ("label", "labels") if labelled else (), name)
    if labelled:
        column = "labels" if "labels" in rows.column_names and "label" not in rows.column_names else "label"
        return rows_and_labels(standardise(rows, spec, name, column), spec)
    check_rows(rows, name, spec.name)
    check_columns(rows, spec.text_columns, name)
    columns = [column_values(rows, column) for column in spec.text_columns]
    for column, values in zip(spec.text_columns, columns, strict=True):
        check_no_nulls(values, column, name)
        if not is_string(values.type):
            raise UserError(f"Column '{column}' of '{file}' holds {values.type}, not text.")
    return list(zip(*(values.to_pylist() for values in columns), strict=True)), None
