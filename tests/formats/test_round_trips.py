# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Any text and any label names survive the way through every format."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ddg_hf.errors import UserError
from ddg_hf.formats.delimited import Delimited, _plain_end
from ddg_hf.formats.json_files import JsonLines, json_rows
from ddg_hf.formats.reading import read_table
from tests.formats.helpers import FORMATS, TEXT_FORMATS, labelled_table, read_rows, run, write_table

# All characters but NUL, which is refused, and halves of surrogate pairs, which are none.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
COLUMN_NAMES = TEXTS.filter(lambda name: name not in ("label", "labels", "set", "generator_loss"))
LOSSES = st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False)
settings.register_profile("files", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FILES = settings.get_profile("files")


@st.composite
def tables(draw):
    """Labelled rows with 2 to 5 label names, set numbers and losses."""
    names = draw(st.lists(TEXTS, min_size=2, max_size=5, unique=True))
    rows = st.tuples(TEXTS, st.integers(0, len(names) - 1), st.integers(0, 2**31 - 1), LOSSES)
    texts, labels, sets, losses = zip(*draw(st.lists(rows, min_size=1, max_size=8)), strict=True)
    more = {"set": pa.array(sets, pa.int32()), "generator_loss": pa.array(losses, pa.float32())}
    return labelled_table(texts, labels, names, **more), tuple(names)


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix])
@FILES
@given(tables())
def test_there_and_back(suffix, drawn):
    """Parquet, there, and back to Parquet: the same rows, types and label names."""
    table, names = drawn
    with tempfile.TemporaryDirectory() as folder:
        first = write_table(Path(folder) / "first.parquet", table)
        run(first, Path(folder) / f"second{suffix}")
        options = {"label_names": names} if suffix in TEXT_FORMATS else {}
        run(Path(folder) / f"second{suffix}", Path(folder) / "third.parquet", **options)
        last = pq.read_table(Path(folder) / "third.parquet")
        assert last.to_pylist() == table.to_pylist()
        assert last.schema.equals(table.schema, check_metadata=True)


@settings(FILES, max_examples=8)
@given(tables())
def test_there_and_back_through_a_directory(drawn):
    table, _ = drawn
    with tempfile.TemporaryDirectory() as folder:
        first = write_table(Path(folder) / "first.parquet", table)
        run(first, Path(folder) / "second")
        run(Path(folder) / "second", Path(folder) / "third.parquet")
        assert pq.read_table(Path(folder) / "third.parquet").equals(table, check_metadata=True)


@pytest.mark.parametrize("suffix", TEXT_FORMATS)
@FILES
@given(st.lists(COLUMN_NAMES.filter(bool), min_size=1, max_size=3, unique=True), TEXTS)
def test_any_column_names(suffix, columns, text):
    with tempfile.TemporaryDirectory() as folder:
        table = pa.table({name: [text] for name in columns} | {"label": [1]})
        file = write_table(Path(folder) / f"named{suffix}", table)
        assert read_rows(file) == table.to_pylist()
        assert read_rows(file, text_columns=columns[::-1]) == table.to_pylist()


class StrictJson(JsonLines):
    """Without the fast path."""

    def _fast(self, number, block, schema):
        return None


class StrictCsv(Delimited):
    """Without the fast path."""

    def _fast(self, block):
        return None


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.none(), max_size=1)
    | st.just({"a": {}})
)
LINES = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3).map(json.dumps)
# What might hide an object over two lines, or two in one line.
PIECES = st.sampled_from(
    ["\n", "\r\n", "{", "}", "null", "{}", "[", "]", ",", '"', "\\", " ", "Inf", "\ufeff", "1e999"]
)


def result_of(reader, path, columns=None):
    try:
        source = reader(path, columns)
        return repr((source.schema, pa.Table.from_batches(source.batches(), source.schema).to_pylist()))
    except UserError as error:
        return str(error)


def assert_same(fast, strict, name, content, columns=None):
    """Both read the same from blocks of all sizes: rows, or the mistake and its place."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file = Path(folder) / name
        file.write_text(content, newline="", errors="surrogatepass")
        for size in (7, 40, 8 << 20):
            patch.setattr("ddg_hf.formats.text.BLOCK_BYTES", size)
            assert result_of(fast, file, columns) == result_of(strict, file, columns)


@settings(FILES, max_examples=400)
@given(
    st.lists(LINES, min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 200), PIECES), max_size=3),
    st.booleans(),
)
@example(['{"a": 1}{"a":', "2}"], [], True)
@example(['{"a":"x"}{"a":"b","x":[', "{}]}"], [], False)
@example(['{"a": null}null{"a": 1}'], [], True)
@example(["null"], [], True)
@example(['{"a": Inf}'], [], False)
@example(['{"a": 0.5}', '{"a": Inf}'], [], False)
@example(['{"a": 9007199254740993}', '{"a": 0.5}', '{"a": 99999999999999999999}'], [], True)
@example(['{"a": "\\ud800"}'], [], False)
@example(['{"a": "x"}', '{"\\u0062": 3}'], [], False)
def test_the_fast_path_reads_what_the_strict_one_reads(lines, pieces, all_columns):
    content = "\n".join(lines)
    for at, piece in pieces:
        content = content[:at] + piece + content[at:]
    assert_same(JsonLines, StrictJson, "lines.jsonl", content, None if all_columns else ("a", "b"))


CELLS = st.sampled_from(
    ["", '""', '"a"', "a", '"a,\n"', '"""\r\n"', '"""a"""', 'a"b', '"a"b', "\ufeff", '"', " ", "\r"]
)


@settings(FILES, max_examples=400)
@given(st.lists(st.tuples(CELLS, CELLS), max_size=8), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
@example([("\ufeff", '""'), ("", '"a"b')], "\n", True)
@example([("a", '"a"b"c'), ("\ud800", "")], "\n", True)
def test_the_fast_path_of_csv_reads_what_the_strict_one_reads(rows, line_end, ends):
    content = line_end.join(",".join(row) for row in [("x", "y"), *rows]) + line_end * ends
    assert_same(Delimited, StrictCsv, "cells.csv", content)


def test_the_fast_paths_are_taken(tmp_path):
    """Otherwise nothing above says anything of them."""
    table = labelled_table(["a {", "é\n", 'a "quote", and', ""], [0, 1, 1, 0])
    file = write_table(tmp_path / "plain.jsonl", table)
    source = JsonLines(file, None)
    assert source._fast(1, file.read_bytes(), source.schema).num_rows == 4
    file = write_table(tmp_path / "plain.csv", table)
    content = file.read_bytes().split(b"\n", 1)[1]
    assert _plain_end(content, ",") == len(content)
    assert Delimited(file)._fast(content).num_rows == 4


@settings(FILES, max_examples=200)
@given(
    st.lists(LINES, max_size=4), st.tuples(st.integers(0, 200), PIECES | st.just("")), st.sampled_from([None, 1, 4])
)
def test_json_arrays_in_windows_of_any_size(lines, piece, indent):
    """An array is read as `json` reads it all at once; mistakes are found at the same place."""
    content = json.dumps([json.loads(line) for line in lines], indent=indent, ensure_ascii=False)
    content = content[: piece[0]] + piece[1] + content[piece[0] :]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file = Path(folder) / "array.json"
        file.write_text(content, newline="", errors="surrogatepass")
        results = []
        for size in (8 << 20, 4, 5, 30):  # a byte order mark must fit
            patch.setattr("ddg_hf.formats.json_files._WINDOW_BYTES", size)
            try:
                results.append([row for _, row in json_rows(file)])
            except UserError as error:
                results.append(str(error))
        assert all(repr(result) == repr(results[0]) for result in results)
        if not piece[1]:
            assert [list(row) for row in results[0]] == [list(json.loads(line)) for line in lines]


@settings(FILES, max_examples=200)
@given(st.text(st.sampled_from('a",\r\n\t'), max_size=30))
def test_csv_is_what_the_csv_module_says(content):
    """Apart from missing cells, which it does not know."""
    content = "x,y\n" + content
    try:
        expected = [row for row in csv.reader(io.StringIO(content, newline=""), strict=True) if row]
    except csv.Error:
        expected = None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cells.csv"
        file.write_text(content, newline="")
        if expected is None or any(len(row) != 2 for row in expected):
            with pytest.raises(UserError, match="is not CSV|but the header has 2"):
                read_table(file)
        else:
            rows = read_table(file).to_pylist()
            assert [[row["x"] or "", row["y"] or ""] for row in rows] == expected[1:]


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix])
@FILES
@given(st.data())
def test_any_bytes_are_rows_or_an_error(suffix, data):
    """`tests/fuzz/fuzz_readers.py` does this for minutes."""
    with tempfile.TemporaryDirectory() as folder:
        file = write_table(Path(folder) / f"bytes{suffix}", labelled_table(["a\n", 'b"'], [0, 1]))
        content = file.read_bytes()
        at, length = data.draw(st.tuples(st.integers(0, len(content)), st.integers(0, 4)))
        file.write_bytes(content[:at] + data.draw(st.binary(max_size=4)) + content[at + length :])
        try:
            run(file, Path(folder) / "out.jsonl")
        except UserError as error:
            assert str(file) in str(error)
            assert not (Path(folder) / "out.jsonl").exists()
