# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is wrong with a file is said in one line that names the place, and nothing is written."""

import json
import pickle
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from tests.formats.helpers import NAMES, TEXT_FORMATS, error_of, labelled_table, write_table

GOOD = '{"text": "a", "label": 0}\n'
LINES = {
    "unfinished": (GOOD + '{"text": "b"\n', "line 2 of .* is not JSON: Expecting ',' delimiter in column 13"),
    "unclosed quote": (GOOD + '\n{"text": "b, "label": 1}', "line 3 of .* is not JSON: .* in column 15"),
    "two objects": (GOOD + '{"text": "b", "label": 1} {}\n', "line 2 of .* is not JSON: Extra data in column 27"),
    "object over lines": ('{"text": "a",\n"label": 0}', "line 1 of .* is not JSON"),
    "two halves": (GOOD + '{"text":"a","label":0}{"text":\n"b","label":1}', "line 2 of .* is not JSON: Extra data"),
    "no object": (GOOD + "7\n", "line 2 of .* is not a JSON object"),
    "null": ("null\n", "line 1 of .* is not a JSON object"),
    "list": (GOOD + "[1]\n", "line 2 of .* is not a JSON object"),
    "deep": (GOOD + "[" * 100_000, "line 2 of .* is not JSON"),
    "many digits": ('{"text": "a", "label": ' + "9" * 5000 + "}", "line 1 of .* is not JSON"),
    "repeated key": ('{"text": "a", "label": 0, "text": "b"}', "line 1 of .* has two fields 'text'"),
    "escaped key": ('{"text": "a", "label": 0, "te\\u0078t": "b"}', "line 1 of .* has two fields 'text'"),
    "no text": (GOOD + '{"label": 0}', "'text' has no value in line 2"),
    "null text": (GOOD + '\n{"text": null, "label": 0}', "'text' has no value in line 3"),
    "list for text": (GOOD + '{"text": ["a"], "label": 0}', "'text' in line 2 of .* is a list, not text"),
    "object for text": ('{"text": {"a": 1}, "label": 0}', "'text' in line 1 of .* is an object, not text"),
    "number for text": (
        GOOD + '{"text": 5, "label": 0}',
        r"'text' is a number \(5\) in line 2 of .* but text in line 1",
    ),
    "only numbers": ('{"text": 5, "label": 0}', "has no column of text beside the label"),
    "number, text": (
        GOOD + '{"text": "b", "label": "3"}',
        r"'label' is text \('3'\) in line 2 .* but a number in line 1",
    ),
    "text, number": (
        '{"text": "b", "label": "positive"}\n' + GOOD,
        r"'label' is a number \(0\) in line 2 .* but text in line 1",
    ),
    "null label": (GOOD + '{"text": "b", "label": null}', "'label' has no value in line 2"),
    "no label": (GOOD + '{"text": "b"}', "'label' has no value in line 2"),
    "fraction": ('{"text": "b", "label": 0.5}', "'label' of .* holds double; labels are whole numbers or text"),
    "negative": (GOOD + '{"text": "b", "label": -1}', "label -1 in line 2 .* is no label id: they go from 0"),
    "huge label": ('{"text": "b", "label": 99999999999999999999}', "'label' in line 1 of .* does not fit a 64-bit"),
    "other label key": (
        '{"text": "b", "lable": 1}',
        "no column 'label'. Did you mean 'lable'. Its columns are text, lable",
    ),
    "both label keys": ('{"text": "b", "label": 1, "labels": 1}', "has both 'label' and 'labels': say which"),
    "half surrogate": (
        GOOD + '{"text": "\\ud800", "label": 0}',
        "'text' in line 2 of .* has half of a surrogate pair",
    ),
    "other half": (GOOD + '{"text": "\\udc00x", "label": 0}', "'text' in line 2 of .* has half of a surrogate pair"),
    "half surrogate key": ('{"\\ud800": 0}', "the name of a field in line 1 of .* has half of a surrogate pair"),
    "escaped NUL": (GOOD + '{"text": "a\\u0000", "label": 0}', "'text' has a NUL character in line 2"),
    "NUL": (GOOD + '{"text": "a\0", "label": 0}', "has a NUL byte in line 2, column 12"),
    "negative set": ('{"text": "a", "label": 0, "set": -1}', "'set' is negative in line 1"),
    "huge set": (
        GOOD[:-2] + ', "set": 4294967296}',
        "'set' in line 1 of .* is 4294967296, not a whole number of 32 bits",
    ),
    "number beyond fractions": (
        '{"text": "a", "label": 0, "x": 1.5}\n{"text": "b", "label": 1, "x": 1' + "0" * 400 + "}",
        "'x' in line 2 of .* does not fit a 64-bit number; write it as text",
    ),
    "set of some": (GOOD + '{"text": "a", "label": 0, "set": 1}', "'set' has no value in line 1"),
    "text for loss": (
        GOOD[:-2] + ', "generator_loss": "x"}',
        "column 'generator_loss' of .* holds string, not numbers",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_json_lines(tmp_path, case):
    content, message = LINES[case]
    file = tmp_path / "bad.jsonl"
    file.write_text(content)
    found = error_of(file, tmp_path)
    assert re.search(message, found) and str(file) in found


# Where the rows before are good, these are other mistakes or none.
FIRST_ONLY = ("only numbers", "text, number", "fraction", "other label key", "set of some", "negative set", "huge set")


@pytest.mark.parametrize("case", [case for case in LINES if case not in FIRST_ONLY])
def test_the_same_far_from_the_beginning(tmp_path, case):
    """Behind the first block, which decides on columns and types."""
    content, message = LINES[case]
    before = '{"text": "%s", "label": 1}\n' % ("x" * 1000)
    count = (8 << 20) // len(before) + 100
    file = tmp_path / "bad.jsonl"
    file.write_text(before * count + content)
    found = error_of(file, tmp_path)
    places = [int(number) - count for number in re.findall(r"line (\d+)", found)]
    wanted = [int(number) for number in re.findall(r"line (\d)", message)]
    assert set(wanted) <= set(places) | {1}, found


ARRAYS = {
    "unfinished": ('[{"text": "a", "label": 0}', "not JSON: the end of the file in line 1, column 27, not ','"),
    "unfinished row": (
        '[\n {"text": "a", "label": 0},\n {"text": "b',
        "row 2 .line 3. of .* is not JSON: Unterm.* column 11",
    ),
    "no comma": ('[{"text": "a", "label": 0} {}]', "not JSON: '{' in line 1, column 28, not ','"),
    "comma at the end": (
        '[{"text": "a", "label": 0},\n]',
        "row 2 .line 2. of .* is not JSON: Expecting value in line 2, column 1",
    ),
    "more": ('[{"text": "a", "label": 0}]\n\nx', "goes on after the array, in line 3, column 1"),
    "no objects": ("[1, 2]", "row 1 .line 1. of .* is not a JSON object"),
    "broken": ("[{broken", "row 1 .line 1. of .* is not JSON: Expecting property name .* in line 1, column 3"),
    "deep": ("[" * 100_000, "row 1 .line 1. of .* is not JSON"),
    "empty": ("[]", "is empty"),
    "loss beyond fractions": (
        '[{"text": "a", "label": 0, "generator_loss": 1.5},\n{"text": "b", "label": 1, "generator_loss": -1'
        + "0" * 400
        + "}]",
        "'generator_loss' in row 2 .line 2. of .* does not fit a 64-bit number",
    ),
    "repeated key": ('[{"text": "a", "text": "b", "label": 0}]', "row 1 .line 1. of .* has two fields 'text'"),
    "mixed labels": (
        '[{"text": "a", "label": 3},\n{"text": "a", "label": "3"}]',
        r"'label' is text \('3'\) in row 2 .line 2. of .* but a number in row 1 .line 1.",
    ),
    "NUL": ('[{"text": "a",\n "label": 0}\0]', "has a NUL byte in line 2, column 13"),
    "null text": (
        '[{"text": "a", "label": 0},\n\n{"text": null, "label": 0}]',
        "'text' has no value in row 2 .line 3.",
    ),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_json_arrays(tmp_path, case):
    content, message = ARRAYS[case]
    file = tmp_path / "bad.json"
    file.write_text(content)
    found = error_of(file, tmp_path)
    assert re.search(message, found) and str(file) in found


CELLS = {
    "unclosed quote": ('text,label\na,0\n"b,1\nc,0\n', "row that begins in line 3 of .* is not CSV: unexpected end"),
    "after quote": ('text,label\n"a" b,0\n', "row that begins in line 2 of .* is not CSV: ',' expected after '\"'"),
    "few cells": ("text,label\na,0\nb\n", "line 3 of .* has 1 fields, but the header has 2"),
    "many cells": ('text,label\n"a\nb",0\nb,c,1\n', "line 4 of .* has 3 fields, but the header has 2"),
    "repeated column": ("text,label,text\na,0,b\n", "line 1 of .* has two columns 'text'"),
    "unnamed column": (",text,label\n0,a,0\n", "a column of .* has no name: say with --text_columns"),
    "only a header": ("text,label\n", "has no rows"),
    "only line ends": ("\n\r\n\n", "is empty"),
    "missing text": ('text,label\n"",0\n,1\n', "'text' has no value in line 3"),
    "missing note": (
        "text,note,label\na,b,0\na,,0\n",
        "'note' has no value in line 3.*--text_columns says",
    ),
    "missing label": ('text,label\na,0\n"b\nc",\n', "'label' has no value in line 3"),
    "mixed labels": (
        "text,label\na,3\nb,positive\n",
        "'label' is a number in line 2 of .*, but a name in line 3 of .*: make them the same, or give the label names",
    ),
    "fraction": ("text,label\na,1.0\n", "'label' in line 2 of .* is 1.0; labels are whole numbers or text"),
    "negative": ("text,label\na,1\nb,-1\n", "label -1 in line 3 of .* is no label id: they go from 0"),
    "no label": ("text,lable\na,3\n", "no column 'label'. Did you mean 'lable'"),
    "no text": ("label,set\n0,1\n", "has no column of text"),
    "NUL": ("text,label\na,0\nb\0,1\n", "has a NUL byte in line 3, column 2"),
    "set": ("text,label,set\na,0,1\nb,0,x\n", "'set' in line 3 of .* is 'x', not a whole number of 32 bits"),
    "loss": ("text,label,generator_loss\na,0,1\nb,0,1.x\n", "'generator_loss' in line 3 of .* is '1.x', not a number"),
}


@pytest.mark.parametrize("case", CELLS)
def test_csv(tmp_path, case):
    content, message = CELLS[case]
    file = tmp_path / "bad.csv"
    file.write_bytes(content.encode())
    found = error_of(file, tmp_path)
    assert re.search(message, found) and str(file) in found


NAMED = {
    "id": ("3", r"label 3 in line 3 of .* is no label id: they go from 0 to 1"),
    "name": ('"god"', r"label 'god' in line 3 of .* is not among the label names \(bad, good\). Did you mean 'good'"),
    "number as text": ('"1"', r"label '1' in line 3 of .* is not among the label names"),
}


@pytest.mark.parametrize("case", NAMED)
def test_labels_that_the_names_do_not_have(tmp_path, case):
    label, message = NAMED[case]
    file = tmp_path / "bad.jsonl"
    good = "1" if case == "id" else '"good"'
    file.write_text("".join(f'{{"text": "a", "label": {value}}}\n' for value in (good, good, label)))
    assert re.search(message, error_of(file, tmp_path, label_names=NAMES))
    if case != "number as text":  # which CSV does not have
        file = tmp_path / "bad.csv"
        file.write_text("".join(f"{value}\n" for value in ("text,label", f"a,{good}", f"a,{label}")))
        assert re.search(message, error_of(file, tmp_path, label_names=NAMES))


def test_ids_and_names_in_one_csv_file(tmp_path):
    file = tmp_path / "bad.csv"
    file.write_text("text,label\na,good\nb,bad\nc,0\n")
    message = error_of(file, tmp_path, label_names=NAMES)
    assert re.search("'label' is a number in line 4 of .*, but a name in line 2 of .*: make them the same$", message)


def test_ids_where_names_are_numbers(tmp_path):
    """Of five names "1" to "5", "3" could be the third or the fourth: it is the name."""
    file = tmp_path / "stars.csv"
    file.write_text("text,label\na,1\nb,0\n")
    message = error_of(file, tmp_path, label_names=("1", "2", "3", "4", "5"))
    assert re.search(r"label '0' in line 3 of .* is not among the label names \(1, 2, 3, 4, 5\)", message)


@pytest.mark.parametrize("suffix", TEXT_FORMATS)
def test_text_that_is_not_utf8(tmp_path, suffix):
    file = write_table(tmp_path / f"latin{suffix}", labelled_table(["a\nb", "é ü x"], [0, 1]))
    place = {".jsonl": "line 2, column 12", ".json": "line 3, column 12"}.get(suffix, "line 4, column 4")
    file.write_bytes(file.read_bytes().replace("ü".encode(), b"\xfc"))
    assert error_of(file, tmp_path) == f"'{file}' is not UTF-8 text: byte 0xfc in {place}; save it as UTF-8"
    file.write_text("text,label\na,0", encoding="utf-16")
    assert error_of(file, tmp_path) == f"'{file}' is UTF-16 or UTF-32; save it as UTF-8"


@pytest.mark.parametrize("suffix", [*TEXT_FORMATS, ".parquet", ".arrow", ".arrows"])
def test_empty_and_cut_files(tmp_path, suffix):
    file = tmp_path / f"data{suffix}"
    file.write_bytes(b"")
    assert str(file) in error_of(file, tmp_path)
    if suffix in TEXT_FORMATS:
        file.write_bytes(b"\xef\xbb\xbf \n")
        assert str(file) in error_of(file, tmp_path)
        return
    write_table(file, labelled_table([f"text {i}" for i in range(100)], [0, 1] * 50))
    data = file.read_bytes()
    for length in (1, 8, len(data) // 2, len(data) - 30):
        file.write_bytes(data[:length])
        assert f"cannot read '{file}': " in error_of(file, tmp_path)
    file.write_bytes(b"text,label\na,0\n")
    assert f"cannot read '{file}': " in error_of(file, tmp_path)


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


COLUMNS = {
    "number for text": ({"text": [1, 2], "label": [0, 1]}, "column 'text' of .* holds int64, not text"),
    "list for text": ({"text": [["a"], []], "label": [0, 1]}, "column 'text' of .* holds list<.*>, not text"),
    "bytes for text": ({"text": [b"a", b"b"], "label": [0, 1]}, "column 'text' of .* holds binary, not text"),
    "nothing for text": ({"text": [None, None], "label": [0, 1]}, "column 'text' of .* holds no value in any row"),
    "missing text": ({"text": ["a", None], "label": [0, 1]}, "'text' has no value in row 2 of"),
    "fraction": ({"text": ["a", "b"], "label": [0.0, 1.0]}, "'label' of .* holds double; labels are whole numbers or"),
    "list for label": ({"text": ["a", "b"], "label": [[0], [1]]}, "'label' of .* holds list<.*>; labels are"),
    "missing label": ({"text": ["a", "b"], "label": [None, 1]}, "'label' has no value in row 1 of"),
    "id": ({"text": ["a", "b"], "label": [0, 2]}, "label 2 in row 2 of .* is no label id: they go from 0 to 1"),
    "other columns": ({"sentence": ["a"], "label": [0]}, "no column 'text'.* Its columns are sentence, label"),
    "NUL": ({"text": ["a", "b\0"], "label": [0, 1]}, "'text' has a NUL character in row 2 of"),
    "set": (
        {"text": ["a", "b"], "label": [0, 1], "set": [0.5, 1.0]},
        "'set' in row 1 of .* is 0.5, not a whole number",
    ),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_parquet_columns_of_another_type(tmp_path, case):
    columns, message = COLUMNS[case]
    file = parquet(tmp_path / "other.parquet", **columns)
    found = error_of(file, tmp_path, text_columns=("text",), label_names=NAMES)
    assert re.search(message, found) and str(file) in found


def test_columns_that_cannot_be_kept(tmp_path):
    file = parquet(tmp_path / "more.parquet", text=["a"], label=[0], spans=[[1, 2]])
    assert re.search("column 'spans' of .* holds list<.*>: say with --text_columns", error_of(file, tmp_path))
    file = parquet(tmp_path / "more.parquet", text=["a"], stars=[0], label=[1])
    assert "has both 'stars' and 'label': rename one" in error_of(file, tmp_path, label_column="stars")
    pq.write_table(pa.table([["a"], [0], ["b"]], names=["text", "label", "text"]), file)
    assert f"'{file}' has two columns 'text'" in error_of(file, tmp_path)


def test_broken_utf8_inside_arrow_data(tmp_path):
    for suffix in (".parquet", ".arrow", ".arrows"):
        file = write_table(tmp_path / f"broken{suffix}", labelled_table(["MARK", "b"], [0, 1]))
        data = file.read_bytes()
        if b"MARK" not in data:  # compressed
            pq.write_table(labelled_table(["MARK", "b"], [0, 1]), file, compression="none", write_statistics=False)
            data = file.read_bytes()
        file.write_bytes(data.replace(b"MARK", b"M\xffRK"))
        assert re.search(f"cannot read '{file}': .*UTF8", error_of(file, tmp_path))


@pytest.mark.parametrize(
    "metadata", [b"{", b"[]", b'{"info": 3}', b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}']
)
def test_columns_that_are_described_wrongly(tmp_path, metadata):
    table = labelled_table(["a", "b"], [0, 1])
    file = write_table(tmp_path / "described.parquet", table.replace_schema_metadata({"huggingface": metadata}))
    assert error_of(file, tmp_path) == f"'{file}' describes its columns wrongly: metadata 'huggingface'"


def test_label_names_that_differ(tmp_path):
    file = write_table(tmp_path / "named.parquet", labelled_table(["a", "b"], [0, 1]))
    message = error_of(file, tmp_path, label_names=("good", "bad"))
    assert message == f"'{file}' carries other label names than those given: id 0 = 'bad', not 'good'"
    message = error_of(file, tmp_path, label_names=("bad", "good", "ugly"))
    assert message == f"'{file}' carries other label names than those given: 2 of them, not 3"


def test_directories(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert error_of(folder, tmp_path) == f"'{folder}' holds no data"
    (folder / "README.md").write_text("no data either")
    (folder / "inner").mkdir()
    assert error_of(folder, tmp_path) == f"'{folder}' holds no data"
    (folder / "inner" / "a.csv").write_text("text,label\na,0\n")
    assert f"holds no data; give a file in it, such as '{folder / 'inner' / 'a.csv'}'" in error_of(folder, tmp_path)
    (folder / "a.csv").write_text("text,label\na,0\n")
    (folder / "b.jsonl").write_text(GOOD)
    assert "holds 2 data files (a.csv, b.jsonl, ...): name one" in error_of(folder, tmp_path)
    assert "does not exist" in error_of(tmp_path / "nowhere", tmp_path)
    assert "none of the file types" in error_of(folder / "README.md", tmp_path)


@pytest.mark.parametrize("layout", ["plain", "datasets", "published"])
def test_links_and_pickles_in_a_directory(tmp_path, layout):
    folder, inner = tmp_path / "folder", tmp_path / "folder"
    folder.mkdir()
    if layout == "plain":
        (folder / "a.jsonl").write_text(GOOD)
    elif layout == "datasets":
        Dataset.from_list([json.loads(GOOD)]).save_to_disk(folder)
    else:
        inner = folder / "dpc_1" / "dataset"
        inner.mkdir(parents=True)
        (inner / "dataset_0.json").write_text(GOOD)
    ran = tmp_path / "ran"

    class Harmful:
        def __reduce__(self):
            return (ran.touch, ())

    (inner / "rows.pkl").write_bytes(pickle.dumps(Harmful()))
    assert "rows.pkl' may be a pickle" in error_of(folder, tmp_path, label_names=NAMES)
    (inner / "rows.pkl").unlink()
    secret = tmp_path / "secret.jsonl"
    secret.write_text(GOOD)
    (inner / "dataset_1.json").symlink_to(secret)
    assert "dataset_1.json' is a symbolic link" in error_of(folder, tmp_path, label_names=NAMES)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["../outside.arrow", "/etc/passwd", "", ".", "a\0b", 3, None])
def test_datasets_that_point_elsewhere(tmp_path, name):
    folder = tmp_path / "folder"
    Dataset.from_list([json.loads(GOOD)]).save_to_disk(folder)
    (folder / "data-00000-of-00001.arrow").rename(tmp_path / "outside.arrow")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    assert f"{folder}" in error_of(folder, tmp_path)


def test_datasets_with_splits(tmp_path):
    rows = Dataset.from_list([json.loads(GOOD)])
    DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "splits")
    assert "has the splits test, train: give the directory of one" in error_of(tmp_path / "splits", tmp_path)


def test_lines_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("ddg_hf.formats.text.MAX_LINE_BYTES", 1000)
    monkeypatch.setattr("ddg_hf.formats.text.BLOCK_BYTES", 100)
    file = tmp_path / "endless.jsonl"
    file.write_text(GOOD * 50 + "x" * 5000)
    assert "line 51 of" in error_of(file, tmp_path)
