# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/study_figures.py`: the figures of a page are those of its results."""

import csv
import json
import sys
from pathlib import Path

import pytest

from benchmarks.study_figures import figures, load, main
from ddg_hf.errors import UserError
from ddg_hf.report.tables import to_csv

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "study_cpu"
DRAWN = sorted(RESULTS.glob("*.svg"))


def side(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


def row(method, dpc, raw):
    return {"method": method, "dpc": dpc, "num_sets": 5, "icl": {"raw": raw, "calibrated": raw}}


@pytest.fixture
def results(tmp_path):
    rows = [row("zero_shot", 0, side(0.5, 0.4, 0.6)), row("ddg", 1, side(0.7, 0.6, 0.8))]
    rows += [row("ddg", 5, side(0.8, 0.7, 0.9)), row("mine", 1, side(0.6, 0.5, 0.7))]
    file = tmp_path / "small.json"
    file.write_text(json.dumps({"version": 1, "task": "sst2", "num_queries": 10, "rows": rows}))
    return file


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["study_figures.py", *map(str, arguments)])
    return main()


def test_figures_have_the_numbers_of_the_results(results, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    assert run(monkeypatch, results, tmp_path, "--methods", "zero_shot", "ddg") == 0
    assert sorted(path.name for path in tmp_path.glob("small_*")) == [
        "small_calibrated.csv", "small_calibrated.svg", "small_raw.csv", "small_raw.svg",
    ]  # fmt: skip
    rows = list(csv.reader((tmp_path / "small_raw.csv").open()))
    assert rows[1:] == [["0", "zero-shot", "0.5", "0.4", "0.6"], ["1", "DDG", "0.7", "0.6", "0.8"],
                        ["5", "DDG", "0.8", "0.7", "0.9"]]  # fmt: skip
    svg = (tmp_path / "small_raw.svg").read_text()
    assert svg.index('fill="#ffffff"') < svg.index("<defs>")
    assert [method.name for method in load(results).methods] == ["zero_shot", "ddg", "mine"]


def test_one_number_of_rows_has_a_figure_for_each_accuracy(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    rows = [row("balanced", 5, side(0.7, 0.6, 0.8)), row("ddg", 5, side(0.8, 0.7, 0.9))]
    for entry in rows:
        entry["icl"]["calibrated"] = side(0.9, 0.8, 1.0)
        entry["learners"] = {"tiny": side(0.5, 0.4, 0.6)}
    file = tmp_path / "one.json"
    file.write_text(json.dumps({"version": 1, "task": "sst2", "num_queries": 10, "rows": rows}))
    assert run(monkeypatch, file, tmp_path) == 0
    found = {kind: list(csv.reader((tmp_path / f"one_{kind}.csv").open()))[1:] for kind in ("raw", "calibrated")}
    assert [line[-3:] for line in found["raw"]] == [["0.7", "0.6", "0.8"], ["0.8", "0.7", "0.9"]]
    assert [line[-3:] for line in found["calibrated"]] == [["0.9", "0.8", "1.0"]] * 2


def test_a_method_without_results_is_named(results, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, results, tmp_path, "--methods", "dilm")
    assert stopped.value.code == 2
    assert "has no results in context of dilm, but of zero_shot, ddg, mine" in capsys.readouterr().err


def test_what_is_no_study_is_an_error(tmp_path):
    for content in ([], {"rows": []}, {"rows": [{"method": "ddg", "dpc": 1, "icl": {}}]}):
        (tmp_path / "other.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match="other.json' has no results in context of a study"):
            load(tmp_path / "other.json")


@pytest.mark.parametrize("drawn", DRAWN, ids=lambda path: path.stem)
def test_numbers_beside_the_figures_are_those_of_the_results(drawn):
    name, _, measure = drawn.stem.rpartition("_")
    written = drawn.with_suffix(".csv").read_text()
    everything = load(RESULTS / f"{name}.json")
    titles = {method.title: method.name for method in everything.methods}
    chosen = dict.fromkeys(titles[cells["method"]] for cells in csv.DictReader(written.splitlines()))
    table = figures(load(RESULTS / f"{name}.json", list(chosen)))[measure].table
    assert to_csv(table).splitlines() == written.splitlines()


def test_there_are_figures():
    assert DRAWN
