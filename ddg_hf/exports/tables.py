# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distilled rows as CSV: all columns, or those that SetFit trains on."""

import csv
import io
from collections.abc import Sequence

from ..data.tasks import TaskSpec
from ..errors import UserError
from ..generation import DistilledRow


def csv_text(spec: TaskSpec, rows: Sequence[DistilledRow]) -> str:
    """
    Returns CSV with the text columns, `label` (id), `label_text` (label name) and `set`. Texts are quoted and
    otherwise as they are: line breaks stay inside, and a text that begins with `=` is a formula to a spreadsheet
    program.

    Raises:
        UserError: a text column is called `label_text`.
    """
    if "label_text" in spec.text_columns:
        raise UserError("the text column 'label_text' has the name of a column of the export; rename it in the sets")
    header = [*spec.text_columns, "label", "label_text", "set"]
    return _write(header, [[*row.texts, row.label, spec.label_names[row.label], row.set] for row in rows])


def setfit_text(spec: TaskSpec, rows: Sequence[DistilledRow]) -> str:
    """
    Returns CSV with the columns of SetFit: `text`, `label` (id) and `label_text` (label name). SetFit reads one text
    per row: those of sentence pairs are joined with a line break.
    """
    return _write(
        ["text", "label", "label_text"],
        [["\n".join(row.texts), row.label, spec.label_names[row.label]] for row in rows],
    )


def _write(header: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    text = io.StringIO()
    # All texts are quoted: a lone carriage return would otherwise end the row for some readers.
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
