# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the tests of formats share."""

from pathlib import Path

import pyarrow as pa
import pytest

from ddg_hf.errors import UserError
from ddg_hf.formats.convert import Conversion, Converted, convert
from ddg_hf.formats.labelled import described, read_labelled
from ddg_hf.formats.writing import write_batches

NAMES = ("bad", "good")
TEXT_FORMATS = (".jsonl", ".json", ".csv", ".tsv")
FORMATS = (*TEXT_FORMATS, ".parquet", ".arrow", ".arrows", "")


def read_rows(path, **options) -> list[dict]:
    """The labelled rows of a file."""
    texts = read_labelled(path, **options)
    return pa.Table.from_batches(texts.batches, texts.schema).to_pylist()


def run(source, target, overwrite=False, **options) -> Converted:
    return convert(Conversion(str(source), str(target), **options), overwrite)


def error_of(source, target_folder: Path, **options) -> str:
    """Returns the message of the `UserError` of a conversion, and makes sure that it leaves nothing behind."""
    target = target_folder / "new" / "out.parquet"
    with pytest.raises(UserError) as error:
        run(source, target, **options)
    assert not target.parent.exists()
    assert "\n" not in str(error.value) and len(str(error.value)) < 600
    return str(error.value)


def labelled_table(texts, labels, names=NAMES, **more) -> pa.Table:
    """A table with the columns `text`, `label` (ids) and `more`, described as `datasets` does."""
    table = pa.table({"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.int64()), **more})
    return table.cast(described(table.schema, names))


def write_table(path: Path, table: pa.Table, suffix: str | None = None) -> Path:
    write_batches(path, table.schema, table.to_batches(), suffix)
    return path
