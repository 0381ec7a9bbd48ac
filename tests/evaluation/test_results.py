# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Files of an evaluation: readable, and whole or absent."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddg_hf.evaluation.results import atomic_file, dump_readable, write_parquet, write_readable_json

CONTENT = {
    "text": "[\n  1,\n  2\n] stays",
    "matrix": [[1, 2], [3, 400000]],
    "interval": {"mean": 0.5, "sd": None, "low": -1e-05, "high": 1.25e16},
    "names": ["a", "b"],
    "nested": [{"x": 1, "y": "2"}],
    "many": {f"number_{i}": i for i in range(9)},
    "empty": [],
}


def test_numbers_take_one_line_and_nothing_is_changed():
    text = dump_readable(CONTENT)
    assert json.loads(text) == CONTENT
    lines = [line.strip() for line in text.splitlines()]
    assert "[1, 2]," in lines and "[3, 400000]" in lines
    assert '"interval": { "mean": 0.5, "sd": null, "low": -1e-05, "high": 1.25e+16 },' in lines
    assert '"number_3": 3,' in lines and '"a",' in lines


def test_not_a_number_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_readable({"accuracy": float("nan")})


def test_nothing_half_written(tmp_path):
    path = tmp_path / "new" / "results.json"
    with pytest.raises(OSError, match="disk full"), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert list(path.parent.iterdir()) == []
    write_readable_json(path, {"a": 1})
    with pytest.raises(ValueError), atomic_file(path) as temporary:
        raise ValueError
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_parquet(tmp_path):
    table = pa.table({"query": [1, 2]})
    write_parquet(tmp_path / "predictions.parquet", table)
    assert pq.read_table(tmp_path / "predictions.parquet").equals(table)
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.parquet"]
