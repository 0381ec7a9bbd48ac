# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Files that look odd and are fine: the right rows come out."""

import itertools
import json
import struct

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ddg_hf.errors import UserError
from ddg_hf.formats.reading import read_batches, read_table
from ddg_hf.formats.writing import write_batches
from tests.formats.helpers import FORMATS, NAMES, labelled_table, read_rows, write_table

ROWS = [{"text": "a", "label": 1}, {"text": "ü, 日本", "label": 0}]


def as_jsonl(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


CSV = 'text,label\na,1\n"ü, 日本",0\n'
CONTENTS = {
    "plain.jsonl": as_jsonl(ROWS),
    "no_last_line_end.jsonl": as_jsonl(ROWS).rstrip(),
    "windows.jsonl": as_jsonl(ROWS).replace("\n", "\r\n"),
    "empty_lines.jsonl": "\n \n" + as_jsonl(ROWS).replace("\n", "\n\n\t\n"),
    "spaces.jsonl": '  { "text" : "a" , "label" : 1 }  \n{"label":0,"text":"\\u00fc, 日本"}',
    "byte_order_mark.jsonl": "\ufeff" + as_jsonl(ROWS),
    "lines.json": as_jsonl(ROWS),
    "array.json": json.dumps(ROWS),
    "array.jsonl": json.dumps(ROWS, ensure_ascii=False),
    "indented.json": json.dumps(ROWS, indent=4),
    "array_with_mark.json": "\ufeff \n" + json.dumps(ROWS) + "\n\n",
    "plain.csv": CSV,
    "windows.csv": CSV.replace("\n", "\r\n"),
    "old_mac.csv": CSV.replace("\n", "\r"),
    "byte_order_mark.csv": "\ufeff" + CSV,
    "empty_lines.csv": CSV.replace("\n", "\n\n"),
    "quoted.csv": '"text","label"\n"a","1"\n"ü, 日本","0"',
    "plain.tsv": CSV.replace(",", "\t").replace("ü\t", "ü,"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_line_ends_marks_and_spaces(tmp_path, name):
    file = tmp_path / name
    file.write_bytes(CONTENTS[name].encode())
    assert read_rows(file) == ROWS


ODD_TEXTS = [
    'a "quote", a comma',
    "two\nlines",
    "two\r\nlines",
    "a lone \r",
    "\n",
    "a\tb",
    '"',
    '""',
    "'",
    "",
    " ",
    "\u2028\u2029\x85\x0b\x0c\x1c",
    "\x08 \x7f",
    "null",
    "NA",
    "007",
    "2020-01-01",
    "{}",
    "}\n{",
    "\\",
    "\\n",
    "\ufeff",
    "🎬\U0010ffff",
]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".arrows", ""])
def test_texts_are_kept_as_they_are(tmp_path, suffix):
    table = labelled_table(ODD_TEXTS, [i % 2 for i in range(len(ODD_TEXTS))])
    file = write_table(tmp_path / f"odd{suffix}", table, suffix)
    assert read_rows(file) == table.to_pylist()


def test_every_escape_of_json(tmp_path):
    file = tmp_path / "escaped.jsonl"
    file.write_text(as_jsonl([]) + json.dumps({"text": "".join(ODD_TEXTS), "label": 0}, ensure_ascii=True))
    assert read_rows(file)[0]["text"] == "".join(ODD_TEXTS)


@pytest.mark.parametrize("name", ["long.jsonl", "long.json", "long.csv", "long.parquet"])
def test_lines_of_ten_megabytes(tmp_path, name):
    table = labelled_table(["short", "x" * 5_000_000 + '"\n' + "é" * 3_000_000, "short"], [0, 1, 0])
    assert read_rows(write_table(tmp_path / name, table)) == table.to_pylist()


def test_rows_beyond_one_block_keep_their_order(tmp_path):
    """Blocks and batches are some MB; types and columns that first appear in a later one count as well."""
    count = 60_000
    rows = [{"text": f"{i} " + "x" * 200, "label": i % 2} for i in range(count)]
    rows[-2]["generator_loss"] = 3
    rows[-1]["generator_loss"] = 2.5
    (tmp_path / "late.jsonl").write_text(as_jsonl(rows))
    (tmp_path / "late.json").write_text(json.dumps(rows))
    for name, options in itertools.product(("late.jsonl", "late.json"), ({}, {"text_columns": ("text",)})):
        read = read_rows(tmp_path / name, **options)
        assert [row["text"] for row in read] == [row["text"] for row in rows]
        assert [row["generator_loss"] for row in read] == [None] * (count - 2) + [3.0, 2.5]


def test_a_missing_cell_is_not_an_empty_text(tmp_path):
    file = tmp_path / "cells.csv"
    file.write_text('a,b,c\n,"",x\n"",,\n"q"",""",y,""\n')
    assert read_table(file).to_pylist() == [
        {"a": None, "b": "", "c": "x"},
        {"a": "", "b": None, "c": None},
        {"a": 'q","', "b": "y", "c": ""},
    ]


def test_columns_that_are_not_wanted_may_hold_anything(tmp_path):
    file = tmp_path / "extra.jsonl"
    file.write_text('{"text": "a", "x": [1, {"y": 1}], "label": 0}\n{"text": "b", "x": "z", "x": 3, "label": 1}\n')
    # a field twice is a mistake only where it is read
    assert read_rows(file, text_columns=["text"]) == [{"text": "a", "label": 0}, {"text": "b", "label": 1}]


def test_types_of_arrow_text_and_numbers(tmp_path):
    table = pa.table(
        {
            "text": pa.array(["a", "b"], pa.large_string()),
            "kind": pa.array(["x", "x"]).dictionary_encode(),
            "label": pa.array([0, 1], pa.uint8()),
            "set": pa.array([3, 4], pa.int64()),
            "generator_loss": pa.array([0.1, float("nan")], pa.float64()),
        }
    )
    pq.write_table(table, tmp_path / "types.parquet")
    with pa.ipc.new_file(tmp_path / "types.arrow", table.schema) as writer:
        writer.write(table)
    loss = pa.scalar(0.1, pa.float32()).as_py()
    for name in ("types.parquet", "types.arrow"):
        assert read_rows(tmp_path / name) == [
            {"text": "a", "kind": "x", "label": 0, "set": 3, "generator_loss": loss},
            {"text": "b", "kind": "x", "label": 1, "set": 4, "generator_loss": None},
        ]


@pytest.mark.parametrize("name", ["text.parquet", "dictionary.parquet", "dictionary.arrow", "views.arrow"])
def test_a_long_text_that_is_there_once_for_many_rows(tmp_path, name):
    """Batches are as large as the texts in them, whatever the size of the file."""
    length, count = 100_000, 1000
    texts = pa.array(["x" * length] * count).dictionary_encode()
    if name.startswith("text"):
        texts = texts.cast(pa.string())
    if name.startswith("views"):
        view = struct.pack("<i4sii", length, b"xxxx", 0, 0)  # length, beginning, buffer, offset
        buffers = [None, pa.py_buffer(view * count), pa.py_buffer(b"x" * length)]
        texts = pa.Array.from_buffers(pa.string_view(), count, buffers)
    path = write_table(tmp_path / name, pa.table({"text": texts, "label": range(count)}))
    assert path.stat().st_size < 2 * length
    batches = list(read_batches(path)[1])
    assert max(batch.nbytes for batch in batches) < 16 << 20
    table = pa.Table.from_batches(batches)
    assert table["label"].to_pylist() == list(range(count))
    assert pc.all(pc.equal(table["text"], "x" * length)).as_py()


def test_sets_and_losses_of_text_formats(tmp_path):
    (tmp_path / "sets.csv").write_text("text,label,set,generator_loss\na,0,2,1.5\nb,1,3,\n")
    rows = [
        {"text": "a", "label": 0, "set": 2, "generator_loss": 1.5},
        {"text": "b", "label": 1, "set": 3, "generator_loss": float("nan")},
    ]
    (tmp_path / "sets.jsonl").write_text(as_jsonl(rows))
    for name in ("sets.csv", "sets.jsonl"):
        assert read_rows(tmp_path / name) == [rows[0], rows[1] | {"generator_loss": None}]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", ["set", "generator_loss"])
def test_other_peoples_columns_of_these_names_are_left_out(tmp_path, suffix, name):
    table = labelled_table(["a", "b"], [0, 1], **{name: ["train", "test"]})
    path = write_table(tmp_path / f"other{suffix}", table, suffix)
    with pytest.raises(UserError, match=name):
        read_rows(path, label_names=NAMES)
    rows = [{"text": "a", "label": 0}, {"text": "b", "label": 1}]
    assert read_rows(path, text_columns=["text"], label_names=NAMES) == rows


def test_sets_of_csv_are_kept_if_the_first_is_a_number(tmp_path):
    file = tmp_path / "sets.csv"
    file.write_text("text,label,set,generator_loss\na,0,2,\nb,1,3,1.5\n")
    assert read_rows(file, text_columns=["text"]) == read_rows(file)
    file.write_text(file.read_text().replace("3", "three"))
    with pytest.raises(UserError, match="'set' in line 3 of .* is 'three', not a whole number"):
        read_rows(file, text_columns=["text"])


def test_a_directory_of_datasets_with_several_files(tmp_path):
    rows = [{"text": f"row {i}", "label": i % 2} for i in range(10)]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "saved", num_shards=3)
    assert read_rows(tmp_path / "saved") == rows


def test_a_directory_with_one_file(tmp_path):
    (tmp_path / "README.md").write_text("not data")
    for name in ("checks.json", "metadata.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "train.csv").write_text(CSV)
    assert read_rows(tmp_path) == ROWS


@pytest.mark.parametrize("suffix", FORMATS)
def test_batches_of_any_columns(tmp_path, suffix):
    """Reading and writing themselves know nothing of labels; columns that are not there are left out."""
    (tmp_path / "source.csv").write_text('a,b,c\n1,"",x\n2,,y\n')
    schema, batches = read_batches(tmp_path / "source.csv", ["c", "b", "z"])
    assert schema.names == ["b", "c"]
    assert write_batches(tmp_path / f"any{suffix}", schema, batches, suffix) == 2
    rows = [{"b": "", "c": "x"}, {"b": None, "c": "y"}]
    assert read_table(tmp_path / f"any{suffix}").to_pylist() == rows
    assert read_table(tmp_path / "source.csv", ["z"]).num_columns == 0
