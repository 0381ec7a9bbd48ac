# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
import dataclasses
import json
import re

import pyarrow.parquet as pq
import pytest

from ddg_hf.data.tasks import TASKS, TaskSpec, get_task, readable
from ddg_hf.errors import UserError

PUBLISHED = ("sst2", "sst5", "mnli", "qqp", "cola", "ag_news", "qnli", "cr", "banking77", "go_emotions")


def test_the_ten_tasks_and_toy_are_registered():
    assert set(TASKS) == {*PUBLISHED, "toy"}
    assert all(spec.name == name for name, spec in TASKS.items())


@pytest.mark.parametrize("spec", TASKS.values(), ids=TASKS)
def test_specs_are_consistent(spec):
    assert len(spec.field_names) == len(spec.text_columns)
    assert len(set(spec.label_names)) == spec.num_labels >= 2
    # Answers are compared without case, so two words must not become one.
    assert len({word.casefold() for word in spec.label_words}) == spec.num_labels
    assert set(spec.metrics) <= {"accuracy", "f1", "matthews_correlation"} and spec.metrics
    assert spec.splits[0][0] == "train"
    assert {ours for ours, _ in spec.splits} <= {"train", "validation", "test"}
    assert spec.hub_revision is None or re.fullmatch("[0-9a-f]{40}", spec.hub_revision)
    assert not {spec.label_column, "label"} & set(spec.text_columns)
    assert hash(spec) == hash(dataclasses.replace(spec))


def test_hidden_glue_test_labels_are_left_out():
    for spec in TASKS.values():
        if spec.hub_id in ("nyu-mll/glue", "stanfordnlp/sst2"):
            assert [ours for ours, _ in spec.splits] == ["train", "validation"]


def test_words_default_to_names():
    spec = TaskSpec(name="x", text_columns=("text",), label_names=("a_b", "c"))
    assert spec.label_words == ("a_b", "c")
    assert spec.num_labels == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("activate_my_card", "activate my card"),
        ("Refund_not_showing_up", "refund not showing up"),
        ("reverted_card_payment?", "reverted card payment?"),
    ],
)
def test_readable_names(name, words):
    assert readable(name) == words
    banking = get_task("banking77")
    assert banking.label_words[banking.label_names.index(name)] == words


def test_unknown_task_names_the_closest():
    with pytest.raises(UserError, match=r"'banking7'.*Did you mean 'banking77'\?.*sst2") as error:
        get_task("banking7")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", PUBLISHED)
def test_specs_agree_with_the_real_data(shared_data, name):
    spec = get_task(name)
    schema = pq.read_schema(shared_data / name / "train.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert tuple(schema.names) == (*spec.text_columns, spec.label_column)
    assert tuple(features[spec.label_column]["names"]) == spec.label_names
