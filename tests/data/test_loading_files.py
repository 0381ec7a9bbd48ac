# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Data sets that are not registered: files and directories."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import concatenate_datasets

from ddg_hf.data.loading import load_data
from tests.data.helpers import NAMES, error_of, make_rows, sst2_rows, write_task

# Other data


FRAME = pd.DataFrame(
    {
        "title": ["NA", "007", 'a, "b"', "c\nd", "None", "é"] * 4,
        "body": ["x", "y", "1", "2", "3", "null"] * 4,
        "stars": ["low", "high", "low", "mid", "high", "mid"] * 4,
        "other": range(24),
    }
)


def write_frame(frame, file):
    if file.suffix == ".parquet":
        frame.to_parquet(file, index=False)
    elif file.suffix in (".csv", ".tsv"):
        frame.to_csv(file, index=False, sep="\t" if file.suffix == ".tsv" else ",")
    else:
        frame.to_json(file, orient="records", lines=file.suffix == ".jsonl")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "json", "jsonl"])
def test_one_file(tmp_path, suffix):
    file = tmp_path / f"shop reviews.{suffix}"
    write_frame(FRAME, file)
    spec, splits = load_data(dataset=file, text_columns=["body", "title"], label_column="stars")
    assert (spec.name, spec.text_columns) == ("shop reviews", ("body", "title"))
    assert spec.label_names == spec.label_words == ("high", "low", "mid")
    assert spec.field_names == ("Text 1", "Text 2") and spec.answer_name == "Label"
    assert {split: rows.num_rows for split, rows in splits.items()} == {"train": 22, "validation": 2}
    rows = concatenate_datasets(list(splits.values()))
    assert rows.column_names == ["body", "title", "label"]
    names = rows.features["label"].names
    found = sorted(zip(rows["title"], rows["body"], [names[i] for i in rows["label"]], strict=True))
    assert found == sorted(zip(FRAME["title"], FRAME["body"], FRAME["stars"], strict=True))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_directory(tmp_path, suffix):
    for split, rows in (("train", FRAME), ("dev", FRAME[:5]), ("test", FRAME[5:12])):
        write_frame(rows, tmp_path / f"{split}.{suffix}")
    (tmp_path / "README.md").write_text("not data")
    spec, splits = load_data(
        dataset=str(tmp_path), text_columns=["title"], label_column="stars", label_names=["low", "mid", "high"]
    )
    assert spec.name == tmp_path.name and spec.label_names == ("low", "mid", "high")
    assert {split: rows.num_rows for split, rows in splits.items()} == {"train": 24, "validation": 5, "test": 7}
    assert splits["test"]["label"][:] == [{"low": 0, "mid": 1, "high": 2}[name] for name in FRAME["stars"][5:12]]


def test_directory_with_one_lone_file_is_train(tmp_path):
    write_frame(FRAME, tmp_path / "everything.csv")
    _, splits = load_data(dataset=tmp_path, text_columns="title", label_column="stars")
    assert list(splits) == ["train", "validation"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no train file"),
        (["a.csv", "b.csv"], "no train file"),
        (["test.csv", "other.csv"], "no train file"),
        (["train.csv", "val.csv", "dev.csv"], "two files for the split 'validation': dev.csv and val.csv"),
    ],
)
def test_unclear_directories(tmp_path, names, message):
    for name in names:
        write_frame(FRAME, tmp_path / name)
    assert message in error_of(dataset=tmp_path, text_columns=["title"], label_column="stars")


def test_integer_labels(tmp_path, train):
    file = tmp_path / "data.csv"
    write_frame(train.to_pandas(), file)
    assert load_data(dataset=file, text_columns=["text"])[0].label_names == ("0", "1")
    spec, splits = load_data(dataset=file, text_columns=["text"], label_names=NAMES)
    assert spec.label_names == ("bad", "good")
    assert splits["train"].features["label"].names == NAMES
    frame = train.to_pandas()
    frame["label"] += 1
    write_frame(frame, file)
    assert "ids from 1 to 2" in error_of(dataset=file, text_columns=["text"])
    assert "20 label ids outside 0 to 1" in error_of(dataset=file, text_columns=["text"], label_names=NAMES)


def test_every_class_needs_a_training_row(tmp_path, train):
    write_frame(train.to_pandas(), tmp_path / "train.csv")
    write_frame(make_rows(["a", "b"], [0, 2], None).to_pandas(), tmp_path / "validation.csv")
    arguments = {"dataset": tmp_path, "text_columns": ["text"]}
    assert "no row of class 'odd': add" in error_of(**arguments, label_names=["bad", "good", "odd"])
    message = error_of(**arguments, label_names=["bad", "good", "odd", "even", "prime"])
    assert "no row of class 'odd' (and of 2 others)" in message


def test_registered_task_without_rows_of_a_class(tmp_path):
    write_task(tmp_path, train=sst2_rows(6, labels=[1] * 6), validation=sst2_rows(4))
    assert "Split 'train' of 'sst2' has no row of class 'negative'" in error_of("sst2", data_dir=tmp_path)


def test_truth_values_are_labels(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("text,label\na,True\nb,False\nc,True\nd,False\n")
    spec, splits = load_data(dataset=file, text_columns=["text"])
    assert spec.label_names == ("False", "True")


def test_class_label_names_are_kept(tmp_path, train):
    train.to_parquet(tmp_path / "train.parquet")
    spec, _ = load_data(dataset=tmp_path, text_columns=["text"])
    assert spec.label_names == ("bad", "good")
    message = error_of(dataset=tmp_path, text_columns=["text"], label_names=["good", "bad"])
    assert "(bad, good)" in message and "(good, bad)" in message


def test_unknown_string_label(tmp_path):
    write_frame(FRAME, tmp_path / "train.csv")
    write_frame(FRAME.replace({"stars": {"mid": "middle"}}), tmp_path / "test.csv")
    message = error_of(dataset=tmp_path, text_columns=["title"], label_column="stars")
    assert "Label 'middle' in split 'test', row 3, is not among the label names (high, low, mid)" in message


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_missing_column_of_a_split(tmp_path, suffix):
    write_frame(FRAME, tmp_path / f"train.{suffix}")
    write_frame(FRAME.drop(columns="title"), tmp_path / f"test.{suffix}")
    message = error_of(dataset=tmp_path, text_columns=["title"], label_column="stars")
    assert message.startswith("Split 'test' has no column 'title'.")


def test_empty_cell_in_csv(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("text,label\na,0\n,1\nc,1\n")
    assert "Column 'text' of split 'train' has no value in row 1" in error_of(dataset=file, text_columns=["text"])
    file.write_text("text,label\na,0\nb,1\nc,\n")
    assert "Column 'label' of split 'train' has no value in row 2" in error_of(dataset=file, text_columns=["text"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\n", "Split 'train' of 'data' has no rows"),
        ("", "is empty"),
        ('text,label\n"a,0\nb,1\n', "the row that begins in line 2 of '"),
        ("text,label\na,0\nb,1,2\n", "data.csv' has 3 fields, but the header has 2: is a quotation mark or"),
        ("text,label\na,0\nb\0,1\n", "data.csv' has a NUL byte in line 3, column 2"),
        ("text,label,text\na,0,b\nb,1,c\n", "data.csv' has two columns 'text'; rename or remove one"),
        ("text,label\na,0\nb,0\n", "two or more different labels"),
        ("text,label\na,0.5\nb,1.5\n", "holds double; labels are integers or strings"),
        ("text,lable\na,0\nb,1\n", "no column 'label'. Did you mean 'lable'? Its columns are text, lable."),
        ("text,label\na,0\n", "two or more different labels"),
    ],
)
def test_useless_files(tmp_path, content, message):
    file = tmp_path / "data.csv"
    file.write_text(content)
    assert message in error_of(dataset=file, text_columns=["text"])


def test_empty_texts_and_labels_in_csv(tmp_path):
    """A text may be empty, if it is there; a label may not."""
    file = tmp_path / "data.csv"
    file.write_text('text,label\n"",x\nb,y\n' + "a,x\nb,y\n" * 9)
    splits = load_data(dataset=file, text_columns=["text"])[1]
    assert sum(splits[split]["text"][:].count("") for split in splits) == 1
    file.write_text('text,label\na,x\nb,""\n')
    assert "Column 'label' of split 'train' has no value in row 1" in error_of(dataset=file, text_columns=["text"])


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["0", " 1"], ("0", "1")),
        (["00", "+1"], ("0", "1")),
        (["true", "False"], ("False", "True")),
        (["True", "1"], ("1", "True")),
        (["nan", "inf"], ("inf", "nan")),
        (["NA", "1"], ("1", "NA")),
        ([" a", "b"], (" a", "b")),
        (["1_0", "2"], ("1_0", "2")),
    ],
)
def test_labels_in_csv_are_ids_if_all_of_them_are_numbers(tmp_path, cells, names):
    file = tmp_path / "data.csv"
    file.write_text("text,label\n" + "".join(f"a,{cell}\n" for cell in cells * 10))
    assert load_data(dataset=file, text_columns=["text"])[0].label_names == names


def test_columns_of_csv_that_are_not_read_may_have_the_same_name(tmp_path):
    """Spreadsheets write them without any."""
    file = tmp_path / "data.csv"
    file.write_text("text,label,,\n" + "a,x,,\nb,y,,\n" * 10)
    assert load_data(dataset=file, text_columns=["text"])[1]["train"].column_names == ["text", "label"]


def test_damaged_files(tmp_path):
    file = tmp_path / "data.parquet"
    file.write_text("{broken")
    assert f"Could not read '{file}'" in error_of(dataset=file, text_columns=["text"])
    table = pa.table({"text": ["a", "b"], "label": [0, 1]})
    pq.write_table(table.replace_schema_metadata({"huggingface": '{"info": 7}'}), file)
    assert f"Could not read '{file}'" in error_of(dataset=file, text_columns=["text"])
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "a", "label": 0}\n' * 6 + '{"text": "b" "label": 1}\n')
    message = error_of(dataset=file, text_columns=["text"])
    assert message == f"line 7 of '{file}' is not JSON: Expecting ',' delimiter in column 14"


def test_list_labels_are_refused(tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "a", "label": [0, 1]}\n{"text": "b", "label": [1]}\n')
    assert "'label' in line 1 of" in error_of(dataset=file, text_columns=["text"])


@pytest.mark.parametrize("content", ["null\n{}\n", '[null, {"text": "a", "label": 0}]'])
def test_json_that_arrow_cannot_read_is_refused(tmp_path, content):
    """Arrow's reader of JSON ends the process here."""
    file = tmp_path / "data.json"
    file.write_text(content)
    assert "is not a JSON object" in error_of(dataset=file, text_columns=["text"])


def test_other_fields_of_json_do_not_matter(tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "a", "label": 0, "meta": {"x": [1]}}\n{"text": "b", "label": 1}\n' * 20)
    assert load_data(dataset=file, text_columns=["text"])[1]["train"].column_names == ["text", "label"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either 'task'"),
        ({"task": "sst2", "dataset": "x.csv"}, "either 'task'"),
        ({"task": "sst2", "text_columns": ["text"]}, "'text_columns' describes a 'dataset'"),
        ({"task": "sst2", "label_names": ["a", "b"]}, "'label_names' describes a 'dataset'"),
        ({"task": "sst3"}, "Did you mean 'sst"),
        ({"dataset": "x.csv"}, "'text_columns' is missing"),
        ({"dataset": "x.csv", "text_columns": ["text"]}, "'x.csv' does not exist"),
        ({"dataset": "/no/such/folder", "text_columns": ["text"]}, "'/no/such/folder' does not exist"),
        ({"dataset": "./nowhere", "text_columns": ["text"]}, "'./nowhere' does not exist"),
        ({"dataset": "x.csv", "text_columns": ["text"], "data_dir": "d"}, "'data_dir' goes with 'task'"),
        ({"dataset": "x.csv", "text_columns": ["a", "a"]}, "must differ"),
        ({"dataset": "x.csv", "text_columns": ["a", "b"], "label_column": "b"}, "must differ"),
        ({"dataset": "x.csv", "text_columns": ["label"]}, "must differ"),
        ({"dataset": "x.csv", "text_columns": ["label"], "label_column": "b"}, "'label' has the name of a column"),
        ({"dataset": "x.csv", "text_columns": ["a", "set"]}, "'set' has the name of a column"),
        ({"dataset": "x.csv", "text_columns": ["generator_loss"]}, "'generator_loss' has the name of a column"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    assert message in error_of(**arguments)


def test_other_file_types_are_refused(tmp_path):
    file = tmp_path / "data.xlsx"
    file.write_text("")
    assert "none of the file types" in error_of(dataset=file, text_columns=["text"])
