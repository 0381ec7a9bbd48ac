# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Registered tasks, from local Parquet files and from the Hub."""

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from ddg_hf.data import loading
from ddg_hf.data.loading import load_data
from ddg_hf.data.tasks import TASKS, get_task
from tests.data.helpers import error_of, make_rows, sst2_rows, write_task

# Tasks


@pytest.mark.parametrize("name", [name for name in TASKS if name != "toy"])
def test_real_data(shared_data, name):
    spec, splits = load_data(name, data_dir=shared_data)
    assert spec == get_task(name)
    assert list(splits) == ["train", "validation", "test"]
    for split, rows in splits.items():
        assert rows.column_names == [*spec.text_columns, "label"]
        assert rows.features["label"] == ClassLabel(names=list(spec.label_names))
        assert all(rows.features[column] == Value("string") for column in spec.text_columns)
        file = shared_data / name / f"{split}.parquet"
        if file.is_file() and (split != "train" or (shared_data / name / "validation.parquet").is_file()):
            assert rows[:] == Dataset.from_pandas(pd.read_parquet(file), preserve_index=False)[:]


def test_toy_needs_nothing():
    spec, splits = load_data("toy", seed=7)
    assert spec.name == "toy"
    assert splits["train"].num_rows > 1000


def test_data_dir_without_validation(tmp_path):
    write_task(tmp_path, train=sst2_rows(40), test=sst2_rows(6))
    _, splits = load_data("sst2", data_dir=tmp_path)
    assert {split: rows.num_rows for split, rows in splits.items()} == {"train": 36, "validation": 4, "test": 6}
    assert sorted(splits["train"]["sentence"][:] + splits["validation"]["sentence"][:]) == sorted(
        sst2_rows(40)["sentence"][:]
    )


def test_loading_leaves_the_data_directory_alone(tmp_path):
    write_task(tmp_path, train=sst2_rows())
    before = sorted(path for path in tmp_path.rglob("*"))
    load_data("sst2", data_dir=tmp_path)
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_missing_file_is_named(tmp_path):
    assert str(tmp_path / "sst2" / "train.parquet") in error_of("sst2", data_dir=tmp_path)


def test_missing_column(tmp_path):
    write_task(tmp_path, train=sst2_rows(column="sentense"))
    message = error_of("sst2", data_dir=tmp_path)
    assert "no column 'sentence'" in message and "sentense, label" in message


def test_label_ids_out_of_range(tmp_path):
    test = sst2_rows(5, labels=[0, 1, -1, 2, -1], names=None)
    write_task(tmp_path, train=sst2_rows(names=None), validation=sst2_rows(names=None), test=test)
    message = error_of("sst2", data_dir=tmp_path)
    assert "'test' has 3 label ids outside 0 to 1" in message and "from -1 to 2" in message


def test_other_label_names(tmp_path):
    write_task(tmp_path, train=sst2_rows(), validation=sst2_rows(names=("positive", "negative")))
    message = error_of("sst2", data_dir=tmp_path)
    assert "'validation' (positive, negative)" in message and "'sst2' (negative, positive)" in message


def test_other_label_names_of_many_are_shown_where_they_differ(tmp_path):
    names = list(get_task("banking77").label_names)
    names[51] = "refund_not_showing_up"
    write_task(tmp_path, "banking77", train=make_rows(["a", "b"], [0, 1], names))
    message = error_of("banking77", data_dir=tmp_path)
    assert "id 51 = refund_not_showing_up" in message and "id 51 = Refund_not_showing_up" in message
    assert len(message) < 250


def test_empty_split(tmp_path):
    write_task(tmp_path, train=sst2_rows(), validation=sst2_rows(0))
    assert "Split 'validation' of 'sst2' has no rows" in error_of("sst2", data_dir=tmp_path)


@pytest.mark.parametrize("column", ["sentence", "label"])
def test_missing_value(tmp_path, column):
    values = {"sentence": ["a", "b", "c", "d"], "label": [0, 1, 0, 1]}
    values[column][2] = None
    write_task(tmp_path, train=Dataset.from_dict(values, features=sst2_rows().features))
    message = error_of("sst2", data_dir=tmp_path)
    assert f"Column '{column}' of split 'train' has no value in row 2" in message


def test_text_must_be_text(tmp_path):
    write_task(tmp_path, train=Dataset.from_dict({"sentence": [1, 2], "label": [0, 1]}))
    assert "Column 'sentence' of split 'train' holds int64, not text" in error_of("sst2", data_dir=tmp_path)


# The Hub, of which only the boundary is replaced


@pytest.fixture
def hub(monkeypatch):
    """Makes `load_dataset` return what is put into `content`; records how it was called."""
    calls, content = [], {}

    def load_dataset(*args, **kwargs):
        calls.append((args, kwargs))
        return content["dataset"]

    monkeypatch.setattr(loading, "load_dataset", load_dataset)
    return calls, content


def test_hub_splits_without_labels_are_not_read(hub):
    calls, content = hub
    content["dataset"] = DatasetDict(
        train=sst2_rows(), validation=sst2_rows(8), test=sst2_rows(4, labels=[-1] * 4).add_column("idx", range(4))
    )
    spec, splits = load_data("sst2")
    assert list(splits) == ["train", "validation"]
    assert calls == [((spec.hub_id, None), {"revision": spec.hub_revision})]


def test_hub_split_map(hub):
    calls, content = hub
    features = Features(
        premise=Value("string"), hypothesis=Value("string"), label=ClassLabel(names=list(get_task("mnli").label_names))
    )
    rows = {
        split: Dataset.from_dict(
            {"premise": [split] * 3, "hypothesis": ["b"] * 3, "label": [0, 1, 2]}, features=features
        )
        for split in ("train", "validation_matched", "validation_mismatched", "test_matched")
    }
    content["dataset"] = DatasetDict(rows)
    _, splits = load_data("mnli")
    assert {split: rows["premise"][:] for split, rows in splits.items()} == {
        "train": ["train"] * 3,
        "validation": ["validation_matched"] * 3,
    }
    del rows["validation_matched"]
    content["dataset"] = DatasetDict(rows)
    assert "has no split 'validation_matched'" in error_of("mnli")


def test_go_emotions_keeps_rows_with_one_label(hub):
    _, content = hub
    names = list(get_task("go_emotions").label_names)
    features = Features(text=Value("string"), labels=List(ClassLabel(names=names)), id=Value("string"))
    rows = Dataset.from_dict(
        {"text": list("abcd"), "labels": [[3], [1, 2], [27], []], "id": list("wxyz")}, features=features
    )
    every = Dataset.from_dict(
        {"text": names, "labels": [[i] for i in range(len(names))], "id": names}, features=features
    )
    content["dataset"] = DatasetDict(train=every, validation=rows, test=rows)
    _, splits = load_data("go_emotions")
    assert splits["test"][:] == {"text": ["a", "c"], "label": [3, 27]}
    content["dataset"] = DatasetDict(train=every, validation=rows.select([1, 3]), test=rows)
    assert "'validation' of 'go_emotions' has no row with exactly one label" in error_of("go_emotions")


def test_hub_failure_is_reported_in_one_line(monkeypatch):
    def load_dataset(*args, **kwargs):
        raise ConnectionError("no route\nto the Hub")

    monkeypatch.setattr(loading, "load_dataset", load_dataset)
    message = error_of("sst2")
    assert "stanfordnlp/sst2" in message and "no route" in message and "data_dir" in message


def test_custom_hub_dataset(hub, caplog):
    _, content = hub
    content["dataset"] = DatasetDict(train=make_rows(list("abcd"), [0, 1, 0, 1]), dev=make_rows(list("ef"), [0, 1]))
    content["dataset"]["test"] = make_rows(list("gh"), [-1, -1])
    spec, splits = load_data(dataset="someone/reviews", text_columns=["text"])
    assert spec.name == "reviews"
    assert splits["validation"]["text"][:] == ["e", "f"]
    assert "test" not in splits and "'test' is left out" in caplog.text
    del content["dataset"]["train"]
    assert "has no split 'train', only dev, test" in error_of(dataset="someone/reviews", text_columns=["text"])
