# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Published sets, in both layouts, become a directory of distilled sets."""

import json

import pytest
from datasets import load_dataset

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.formats.dilm import find_published
from ddg_hf.formats.directory import open_distilled
from tests.formats.helpers import NAMES, error_of, read_rows, run

PUBLISHED = ("sst2", "mnli", "qqp")


def write_published(folder, layout, sizes=(1, 10), numbers=(0, 2, 10)):
    for n in sizes:
        inner = folder / layout.format(n=n)
        inner.mkdir(parents=True)
        for i in numbers:
            rows = [{"text": f"{n}.{i}.{j}", "labels": j % 2} for j in range(2 * n)]
            (inner / f"dataset_{i}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("layout", ["dpc_{n}", "dpc_{n}/dataset", "dpc_{n}.lr_3e-7.seed42/dataset", "dpc_{n}_x"])
def test_layouts(tmp_path, layout):
    source = write_published(tmp_path / "published", layout)
    done = run(source, tmp_path / "out", label_names=NAMES)
    assert done.rows == 3 * 2 * 11 and done.columns == ("text", "label", "set", "generator_loss")
    opened = open_distilled(tmp_path / "out")
    assert opened.configs == ("dpc_1", "dpc_10") and opened.spec.label_names == NAMES
    assert list(opened.sets("dpc_10")) == [0, 2, 10]
    assert [row.texts for row in opened.sets("dpc_1")[10]] == [("1.10.0",), ("1.10.1",)]
    assert opened.table("dpc_1")["generator_loss"].null_count == 6


def test_overwriting(tmp_path):
    source = write_published(tmp_path / "published", "dpc_{n}")
    run(source, tmp_path / "out", label_names=NAMES)
    with pytest.raises(UserError, match="already holds a finished run"):
        run(source, tmp_path / "out", label_names=NAMES)
    run(source, tmp_path / "out", label_names=("no", "yes"), overwrite=True)
    assert open_distilled(tmp_path / "out").spec.label_names == ("no", "yes")


def test_mistakes(tmp_path):
    source = write_published(tmp_path / "published", "dpc_{n}/dataset")
    with pytest.raises(UserError, match="holds several sets, which become a directory; leave out '.parquet'"):
        run(source, tmp_path / "out.parquet")
    with pytest.raises(UserError, match="names of the labels in .*dataset_0.json' are not known: give --task or"):
        run(source, tmp_path / "out")
    write_published(tmp_path / "published", "dpc_{n}.again", sizes=[10])
    with pytest.raises(UserError, match="dpc_10' and .*dpc_10.again' both hold sets of 10 rows per class"):
        run(source, tmp_path / "out", label_names=NAMES)
    broken = write_published(tmp_path / "broken", "dpc_{n}") / "dpc_10" / "dataset_2.json"
    broken.write_text(broken.read_text() + '{"text": "a", "labels": 2}\n')
    with pytest.raises(UserError, match="label 2 in line 21 of '.*dpc_10/dataset_2.json'"):
        run(tmp_path / "broken", tmp_path / "out", label_names=NAMES)
    assert not (tmp_path / "out").exists()


def test_text_columns_are_the_same_in_all_files(tmp_path):
    file = write_published(tmp_path / "published", "dpc_{n}") / "dpc_10" / "dataset_2.json"
    rows = [json.loads(line) | {"more": "b"} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="dataset_2.json' has the text columns text, more, but .* has text: say"):
        run(tmp_path / "published", tmp_path / "out", label_names=NAMES)
    done = run(tmp_path / "published", tmp_path / "out", label_names=NAMES, text_columns=("text",))
    assert done.columns == ("text", "label", "set", "generator_loss")


def test_other_directories_are_no_published_sets(tmp_path):
    assert find_published(tmp_path) == {}
    (tmp_path / "dpc_5").mkdir()
    (tmp_path / "dpc_5" / "train.parquet").touch()
    (tmp_path / "checks.json").write_text('{"rows": {"dpc_5": 1}}')
    assert find_published(tmp_path) == {}
    assert "give a file in it, such as" in error_of(tmp_path, tmp_path)


@pytest.mark.parametrize("task", PUBLISHED)
def test_every_published_file(tmp_path, shared_data, task):
    """All sets of DiLM, as a directory and file by file: the same rows."""
    source = shared_data / "dilm_published" / task
    if not source.is_dir():
        pytest.skip(f"no published sets: {source} does not exist")
    run(source, tmp_path / "sets", task=task)
    spec = get_task(task)
    for n in (5, 10, 20):
        rows = load_dataset(str(tmp_path / "sets"), f"dpc_{n}", split="train", cache_dir=str(tmp_path / "cache"))
        assert rows.features["label"].names == list(spec.label_names)
        for i in range(5):
            original = [json.loads(line) for line in (source / f"dpc_{n}" / f"dataset_{i}.json").open()]
            expected = [{c: row[c] for c in spec.text_columns} | {"label": row["labels"]} for row in original]
            run(source / f"dpc_{n}" / f"dataset_{i}.json", tmp_path / f"{n}_{i}.parquet", task=task)
            assert read_rows(tmp_path / f"{n}_{i}.parquet") == expected
            in_sets = rows.filter(lambda row, i=i: row["set"] == i).remove_columns(["set", "generator_loss"])
            assert in_sets.to_list() == expected
