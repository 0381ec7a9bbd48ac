# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Converting: columns, labels and their names, sets, directories, and outputs that are there already."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Value, load_dataset, load_from_disk

from ddg_hf.errors import UserError
from tests.formats.helpers import NAMES, error_of, labelled_table, read_rows, run, write_table


def write_lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_lines(path):
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def test_labels_of_the_reference_become_a_class_label(tmp_path):
    source = write_lines(tmp_path / "dilm.json", {"sentence": "a", "labels": 1}, {"sentence": "b", "labels": 0})
    done = run(source, tmp_path / "out.parquet", task="sst2")
    assert (done.rows, done.columns, done.label_names) == (2, ("sentence", "label"), ("negative", "positive"))
    rows = load_dataset("parquet", data_files=str(done.path), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows.features == {"sentence": Value("string"), "label": ClassLabel(names=["negative", "positive"])}
    assert rows[:] == {"sentence": ["a", "b"], "label": [1, 0]}


def test_columns_of_a_task_come_in_its_order(tmp_path):
    source = write_lines(tmp_path / "pairs.jsonl", {"idx": 3, "hypothesis": "h", "label": "neutral", "premise": "p"})
    done = run(source, tmp_path / "out.jsonl", task="mnli")
    assert done.path.read_text() == '{"premise":"p","hypothesis":"h","label":"neutral"}\n'


def test_other_columns_are_kept_unless_text_columns_are_named(tmp_path):
    source = write_lines(tmp_path / "more.jsonl", {"id": 7, "stars": "good", "title": "t", "score": 0.5, "seen": True})
    run(source, tmp_path / "all.jsonl", label_column="stars")
    assert read_lines(tmp_path / "all.jsonl") == [{"id": 7, "label": "good", "title": "t", "score": 0.5, "seen": True}]
    run(source, tmp_path / "named.jsonl", label_column="stars", text_columns=("title",))
    assert read_lines(tmp_path / "named.jsonl") == [{"title": "t", "label": "good"}]


def test_names_become_ids_where_their_order_is_known(tmp_path):
    source = write_lines(tmp_path / "names.jsonl", {"text": "a", "label": "good"}, {"text": "b", "label": "bad"})
    run(source, tmp_path / "unknown.parquet")
    unknown = pq.read_table(tmp_path / "unknown.parquet")
    assert unknown.schema.field("label").type == pa.string() and unknown["label"].to_pylist() == ["good", "bad"]
    run(tmp_path / "unknown.parquet", tmp_path / "known.parquet", label_names=NAMES)
    assert pq.read_table(tmp_path / "known.parquet")["label"].to_pylist() == [1, 0]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv"])
def test_text_formats_hold_names(tmp_path, suffix):
    source = write_table(tmp_path / "ids.parquet", labelled_table(["a", "b"], [1, 0]))
    run(source, tmp_path / f"names{suffix}")
    expected = [{"text": "a", "label": "good"}, {"text": "b", "label": "bad"}]
    if suffix in (".csv", ".tsv"):
        with open(tmp_path / f"names{suffix}", newline="") as file:
            assert list(csv.DictReader(file, delimiter="," if suffix == ".csv" else "\t")) == expected
    elif suffix == ".json":
        assert json.loads((tmp_path / "names.json").read_text()) == expected
    else:
        assert read_lines(tmp_path / "names.jsonl") == expected


def test_ids_without_names_stay_ids(tmp_path):
    source = write_lines(tmp_path / "ids.jsonl", {"text": "a", "label": 1}, {"text": "b", "label": 0})
    run(source, tmp_path / "ids.csv")
    assert (tmp_path / "ids.csv").read_text() == '"text","label"\n"a",1\n"b",0\n'
    run(tmp_path / "ids.csv", tmp_path / "ids.parquet")
    assert pq.read_table(tmp_path / "ids.parquet").to_pylist() == read_lines(source)


def test_numbers_as_names(tmp_path):
    """Stars 1 to 5: in CSV a cell is the name; in JSON a number is an id and a text the name."""
    stars = tuple("12345")
    (tmp_path / "stars.csv").write_text("text,label\na,1\nb,5\n")
    run(tmp_path / "stars.csv", tmp_path / "stars.parquet", label_names=stars)
    assert pq.read_table(tmp_path / "stars.parquet")["label"].to_pylist() == [0, 4]
    for value, label in ((1, 1), ("1", 0)):
        write_lines(tmp_path / "stars.jsonl", {"text": "a", "label": value})
        assert read_rows(tmp_path / "stars.jsonl", label_names=stars) == [{"text": "a", "label": label}]


def test_names_that_csv_would_take_for_ids(tmp_path):
    source = write_lines(tmp_path / "stars.jsonl", {"text": "a", "label": "x"}, {"text": "a", "label": "3"})
    with pytest.raises(UserError, match="line 2 of .* is the text '3', which CSV cannot tell from a number"):
        run(source, tmp_path / "stars.csv")
    assert not (tmp_path / "stars.csv").exists()


def test_truth_values_are_names(tmp_path):
    source = write_lines(tmp_path / "truth.jsonl", {"text": "a", "label": True}, {"text": "b", "label": False})
    assert [row["label"] for row in read_rows(source)] == ["True", "False"]
    assert [row["label"] for row in read_rows(source, label_names=("False", "True"))] == [1, 0]


def test_types_of_set_and_loss(tmp_path):
    source = write_lines(tmp_path / "sets.jsonl", {"text": "a", "label": 0, "set": 4, "generator_loss": 2})
    for options in ({}, {"text_columns": ("text",)}):
        run(source, tmp_path / "sets.parquet", overwrite=True, **options)
        schema = pq.read_schema(tmp_path / "sets.parquet")
        assert schema.names == ["text", "label", "set", "generator_loss"]
        assert (schema.field("set").type, schema.field("generator_loss").type) == (pa.int32(), pa.float32())


def test_a_directory_of_datasets(tmp_path):
    source = write_table(tmp_path / "rows.parquet", labelled_table(["a", "b"], [1, 0]))
    done = run(source, tmp_path / "saved")
    rows = load_from_disk(str(tmp_path / "saved"))
    assert done.rows == 2 and rows.features["label"].names == list(NAMES) and rows["label"][:] == [1, 0]
    with pytest.raises(UserError, match="already holds a finished run; pass --overwrite"):
        run(source, tmp_path / "saved")
    write_table(source, labelled_table(["c"], [1]))
    run(source, tmp_path / "saved", overwrite=True)
    assert load_from_disk(str(tmp_path / "saved"))["text"][:] == ["c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.parquet", "saved"]


def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path):
    source = write_lines(tmp_path / "rows.jsonl", {"text": "a", "label": 0})
    target = tmp_path / "out.csv"
    target.write_text("mine")
    with pytest.raises(UserError, match="out.csv' exists; pass --overwrite"):
        run(source, target)
    write_lines(tmp_path / "bad.jsonl", {"text": "a", "label": 0}, {"text": None, "label": 0})
    with pytest.raises(UserError, match="no value in line 2"):
        run(tmp_path / "bad.jsonl", target, overwrite=True)
    assert target.read_text() == "mine"
    run(source, target, overwrite=True)
    assert target.read_text() == '"text","label"\n"a",0\n'
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files that are not a finished run"):
        run(source, tmp_path / "folder", overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="'.*file' is a file; give a name that ends in .jsonl, "):
        run(source, tmp_path / "file", overwrite=True)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="is a directory; give the name of a file"):
        run(source, tmp_path / "folder.csv", overwrite=True)


def test_a_file_may_replace_itself(tmp_path):
    source = write_lines(tmp_path / "rows.jsonl", {"labels": 1, "sentence": "a"})
    run(source, source, overwrite=True, task="sst2")
    assert source.read_text() == '{"sentence":"a","label":"positive"}\n'
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("out.xlsx", {}, "'.*out.xlsx' ends in none of .*; if it is to be a directory, write '.*out.xlsx/'"),
        ("out.csv", {"task": "sst3"}, "unknown task|Did you mean 'sst"),
        ("out.csv", {"task": "sst2", "label_names": NAMES}, "--label_names describes data that is no registered task"),
        (
            "out.csv",
            {"task": "sst2", "text_columns": ("text",)},
            "--text_columns describes data that is no registered",
        ),
        ("out.csv", {"label_names": ("a",)}, "the label names must be two or more, got a"),
        ("out.csv", {"label_names": ("a", "b", "a")}, "the label names have 'a' twice"),
        ("out.csv", {"text_columns": ("a", "a")}, "must differ from each other"),
        ("out.csv", {"text_columns": ("set",)}, "'set' has the name of a column of distilled sets"),
        ("out.csv", {"text_columns": ("a",), "label_column": "a"}, "must differ"),
        ("out.csv", {"text_columns": ("labels",)}, "must differ"),
        ("out.csv", {"label_column": "other"}, "no column 'other'"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path, target, options, message):
    source = write_lines(tmp_path / "rows.jsonl", {"text": "a", "label": 0})
    with pytest.raises(UserError, match=message):
        run(source, tmp_path / target, **options)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("names", [("x.csv", "y" * 300 + ".csv"), ("x" * 300 + ".csv", "y.csv")])
def test_names_that_are_too_long(tmp_path, names):
    (tmp_path / "x.csv").write_text("text,label\na,0\n")
    with pytest.raises(UserError, match="File name too long"):
        run(*(tmp_path / name for name in names))


def test_directories_with_dots(tmp_path):
    source = write_lines(tmp_path / "rows.jsonl", {"text": "a", "label": 0})
    run(source, f"{tmp_path}/v1.0/")
    assert load_from_disk(str(tmp_path / "v1.0"))["text"][:] == ["a"]


def test_a_task_that_the_source_does_not_fit(tmp_path):
    source = write_lines(tmp_path / "rows.jsonl", {"sentense": "a", "label": 0})
    assert "no column 'sentence'. Did you mean 'sentense'?" in error_of(source, tmp_path, task="sst2")
    source = write_lines(tmp_path / "rows.jsonl", {"sentence": "a", "label": "neutral"})
    message = error_of(source, tmp_path, task="sst2")
    assert f"label 'neutral' in line 1 of '{source}' is not among the label names (negative, positive)" in message


def test_a_disk_that_cannot_be_written(tmp_path):
    source = write_lines(tmp_path / "rows.jsonl", {"text": "a", "label": 0})
    with pytest.raises(UserError, match="rows.jsonl.*: (Not a directory|File exists)"):
        run(source, source / "out.csv")
