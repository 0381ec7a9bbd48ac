# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the tests of loading share."""

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from ddg_hf.data.loading import load_data
from ddg_hf.errors import UserError

NAMES = ["bad", "good"]


def make_rows(texts, labels, names=NAMES, text_column="text"):
    features = Features({text_column: Value("string"), "label": ClassLabel(names=names) if names else Value("int64")})
    return Dataset.from_dict({text_column: texts, "label": labels}, features=features)


def write_task(folder, name="sst2", names=("negative", "positive"), **splits):
    (folder / name).mkdir()
    for split, rows in splits.items():
        rows.to_parquet(folder / name / f"{split}.parquet")


def sst2_rows(size=40, labels=None, column="sentence", names=("negative", "positive")):
    labels = [i % 2 for i in range(size)] if labels is None else labels
    return make_rows([f"text {i}" for i in range(size)], labels, list(names) if names else None, column)


def error_of(*args, **kwargs):
    """Returns the message of the `UserError` that loading raises."""
    with pytest.raises(UserError) as error:
        load_data(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)
