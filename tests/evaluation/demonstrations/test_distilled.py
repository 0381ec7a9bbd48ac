# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distilled sets: directories, the Hub, DiLM's files, and what is wrong with some of them."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import DemonstrationSet, available_dpc, describe_distilled, load_distilled
from ddg_hf.formats.directory import open_distilled

SPEC = get_task("sst2")


def write_parquet(folder, names=SPEC.label_names, column="sentence", sets=(0, 0, 2, 2)):
    features = Features(
        {
            column: Value("string"),
            "label": ClassLabel(names=list(names)),
            "set": Value("int32"),
            "generator_loss": Value("float32"),
        }
    )
    rows = {
        column: [f"text {i}" for i in range(len(sets))],
        "label": [i % 2 for i in range(len(sets))],
        "set": list(sets),
        "generator_loss": [1.5] * len(sets),
    }
    folder.mkdir(parents=True)
    pq.write_table(Dataset.from_dict(rows, features=features).data.table, folder / "train.parquet")


def write_dilm(folder, number, labels=(0, 1)):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"sentence": f"set {number} row {i}", "labels": label}) for i, label in enumerate(labels)]
    (folder / f"dataset_{number}.json").write_text("\n".join(lines) + "\n")


def test_parquet_sets(tmp_path):
    write_parquet(tmp_path / "dpc_1")
    write_parquet(tmp_path / "dpc_10")
    (tmp_path / "README.md").write_text("card")
    assert available_dpc(str(tmp_path)) == [1, 10]
    sets = load_distilled(str(tmp_path), "dpc_1", SPEC)
    assert sets == [
        DemonstrationSet(0, ((("text 0",), 0), (("text 1",), 1))),
        DemonstrationSet(2, ((("text 2",), 0), (("text 3",), 1))),
    ]


def test_same_sets_from_the_hub(tmp_path, monkeypatch):
    """A Hub id goes through `load_dataset`, which here reads the directory instead."""
    write_parquet(tmp_path / "dpc_1")
    card = "---\nconfigs:\n- config_name: dpc_1\n  data_files: dpc_1/train.parquet\n---\n"
    (tmp_path / "README.md").write_text(card)
    asked = []

    def from_hub(name, config, split):
        asked.append((name, config))
        return load_dataset(str(tmp_path), config, split=split, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr("ddg_hf.evaluation.demonstrations.distilled.load_dataset", from_hub)
    assert load_distilled("user/sst2-ddg", "dpc_1", SPEC) == load_distilled(str(tmp_path), "dpc_1", SPEC)
    assert asked == [("user/sst2-ddg", "dpc_1")]


def test_hub_that_cannot_be_reached():
    with pytest.raises(UserError, match="cannot load 'nobody/nothing'"):
        load_distilled("nobody/nothing", "dpc_5", SPEC)
    with pytest.raises(UserError, match="cannot load 'nobody/nothing'"):
        available_dpc("nobody/nothing")


def test_dilm_sets(tmp_path):
    for number in (10, 2):
        write_dilm(tmp_path / "dpc_1", number)
    sets = load_distilled(str(tmp_path), "dpc_1", SPEC)
    assert [s.set_id for s in sets] == [2, 10]
    assert sets[0].rows == ((("set 2 row 0",), 0), (("set 2 row 1",), 1))


def test_dilm_files_hold_one_set_each(tmp_path):
    """A field `set` of theirs says nothing: the number is that of the file."""
    (tmp_path / "dpc_1").mkdir()
    lines = [json.dumps({"sentence": "a", "label": name, "set": i}) for i, name in enumerate(SPEC.label_names)]
    (tmp_path / "dpc_1" / "dataset_7.json").write_text("\n".join(lines))
    assert load_distilled(str(tmp_path), "dpc_1", SPEC) == [DemonstrationSet(7, ((("a",), 0), (("a",), 1)))]


def test_published_dilm_sets(shared_data):
    for task in ("sst2", "mnli", "qqp"):
        spec = get_task(task)
        source = shared_data / "dilm_published" / task
        if not source.is_dir():
            pytest.skip(f"no published sets: {source} does not exist")
        for dpc in available_dpc(str(source)):
            for members in load_distilled(str(source), f"dpc_{dpc}", spec):
                labels = [label for _, label in members.rows]
                assert np.bincount(labels).tolist() == [dpc] * spec.num_labels
                rows = pd.read_json(source / f"dpc_{dpc}" / f"dataset_{members.set_id}.json", lines=True, dtype=False)
                texts = rows[list(spec.text_columns)].itertuples(index=False, name=None)
                assert list(members.rows) == list(zip(texts, rows["labels"].tolist(), strict=True))


def test_label_names_of_another_task(tmp_path):
    write_parquet(tmp_path / "dpc_1", names=("positive", "negative"))
    with pytest.raises(UserError, match="positive, negative.*negative, positive"):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


def test_missing_column(tmp_path):
    write_parquet(tmp_path / "dpc_1", column="review")
    with pytest.raises(UserError, match="sentence.*review"):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


def test_label_out_of_range(tmp_path):
    write_dilm(tmp_path / "dpc_1", 0, labels=(0, 2))
    with pytest.raises(UserError, match=r"labels that sst2 does not have: 2 \(line 2\)"):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


@pytest.mark.parametrize("content", ["", "[1, 2]", "{broken", '{"sentence": "a", "labels": 0}\n7\n'])
def test_broken_json(tmp_path, content):
    (tmp_path / "dpc_1").mkdir()
    (tmp_path / "dpc_1" / "dataset_0.json").write_text(content)
    with pytest.raises(UserError):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


def test_broken_parquet(tmp_path):
    (tmp_path / "dpc_1").mkdir()
    (tmp_path / "dpc_1" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="cannot read"):
        load_distilled(str(tmp_path), "dpc_1", SPEC)


def test_missing_configuration(tmp_path):
    with pytest.raises(UserError, match="holds no distilled sets"):
        available_dpc(str(tmp_path))
    write_parquet(tmp_path / "dpc_1")
    with pytest.raises(UserError, match="no sets for 'dpc_5'.*it has dpc_1"):
        load_distilled(str(tmp_path), "dpc_5", SPEC)


def test_table_without_sets_is_one_set(tmp_path):
    (tmp_path / "dpc_2").mkdir()
    pq.write_table(pa.table({"sentence": ["a", "b"], "label": [0, 1]}), tmp_path / "dpc_2" / "train.parquet")
    assert [len(s.rows) for s in load_distilled(str(tmp_path), "dpc_2", SPEC)] == [2]


def changed(folder, metadata=None, **columns):
    """Writes two rows of `SPEC` with other columns, and with other metadata than that of `datasets`."""
    write_parquet(folder, sets=(0, 1))
    table = pq.read_table(folder / "train.parquet")
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, folder / "train.parquet")


@pytest.mark.parametrize(
    "metadata",
    [
        "{",
        "[1]",
        "7",
        '{"info": 7}',
        '{"info": {"features": [1]}}',
        '{"info": {"features": {"label": 7}}}',
        '{"info": {"features": {"label": {"_type": "Nonsense"}}}}',
        '{"info": {"features": {"label": {"_type": "Value"}}}}',
        "[" * 100_000,
    ],
)
def test_columns_that_are_described_wrongly(tmp_path, metadata):
    changed(tmp_path / "dpc_1", metadata)
    for read in (lambda source: load_distilled(source, "dpc_1", SPEC), describe_distilled, open_distilled):
        with pytest.raises(UserError, match="dpc_1/train.parquet' describes its columns wrongly"):
            read(str(tmp_path))


@pytest.mark.parametrize("values", [["x", "y"], [None, 1], [None, None], [0.5, 1.0], [[0], [1]], [True, False]])
def test_sets_that_are_no_whole_numbers(tmp_path, monkeypatch, values):
    """In a directory and on the Hub, which here is the directory, too."""
    changed(tmp_path / "dpc_1", metadata="{}", set=values)
    with pytest.raises(UserError, match="'set' in '.*dpc_1/train.parquet' must be a whole number in every row"):
        load_distilled(str(tmp_path), "dpc_1", SPEC)
    rows = Dataset(pq.read_table(tmp_path / "dpc_1" / "train.parquet"))
    monkeypatch.setattr("ddg_hf.evaluation.demonstrations.distilled.load_dataset", lambda *args, **kwargs: rows)
    with pytest.raises(UserError, match="'set' in 'user/sst2-ddg/dpc_1' must be a whole number in every row"):
        load_distilled("user/sst2-ddg", "dpc_1", SPEC)


def test_list_labels_are_refused(tmp_path):
    """Also for a task whose labels are lists on the Hub."""
    changed(tmp_path / "dpc_1", metadata="{}", label=[[0], [1, 2]])
    spec = dataclasses.replace(SPEC, row_filter="single_label")
    with pytest.raises(UserError, match="'label' of .* holds list<.*one label per row"):
        load_distilled(str(tmp_path), "dpc_1", spec)


def test_losses_of_any_number_do_not_matter(tmp_path):
    for n, losses in enumerate(([1, 2**60], [0.5, None], [None, None]), 1):
        changed(tmp_path / f"dpc_{n}", metadata="{}", generator_loss=losses)
        assert [member.set_id for member in load_distilled(str(tmp_path), f"dpc_{n}", SPEC)] == [0, 1]
