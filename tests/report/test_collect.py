# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is found in a directory, and mistakes that are said in one line."""

import json

import pytest

from ddg_hf.errors import UserError
from ddg_hf.report.collect import collect
from ddg_hf.report.evaluations import method_of, results_of
from ddg_hf.report.study import read_study
from tests.report import builders


def test_a_study(tmp_path):
    contents = collect(builders.study(tmp_path / "films"))
    assert contents.name == "films" and contents.study.results is not None
    assert {run.name for run in contents.runs} >= {"icl/ddg/seed_0/dpc_5", "sets/ddg/seed_0", "distill/seed_0"}
    states = [cell.state for cell in contents.study.cells]
    assert states.count("failed") == 1 and states.count("waiting") == 1
    assert [run.name for run in contents.with_sets] == ["sets/ddg/seed_0"]
    (run,) = [run for run in contents.runs if run.name == "icl/lm_only/seed_0/dpc_5"]
    assert method_of(contents, run).title == "LM only"


def test_rows_of_a_study_are_in_the_order_of_its_methods(tmp_path):
    content = builders.study_results()
    content["rows"].reverse()
    builders.write_json(tmp_path / "study.json", builders.study_plan())
    builders.write_json(tmp_path / "results.json", content)
    rows = read_study(tmp_path).results.rows
    assert [(row.dpc, row.method) for row in rows[:3]] == [(0, "zero_shot"), (5, "balanced"), (5, "k_centers")]
    assert rows[1].accuracies["learner:small"].mean == pytest.approx(0.54)


def test_what_is_missing_or_wrong_in_a_study_is_left_out(tmp_path):
    builders.write_json(tmp_path / "study.json", builders.study_plan())
    rows = [{"method": "ddg", "dpc": 5}, {"method": "ddg"}, {"dpc": 5}, "x", {"method": "ddg", "dpc": 5, "icl": None}]
    rows.append({"method": "new", "dpc": 10, "icl": {"raw": {"mean": "?"}, "calibrated": {"mean": 0.5}}, "cost": []})
    builders.write_json(
        tmp_path / "results.json", {"version": 1, "rows": rows, "comparisons": [{"a": "ddg"}], "power": 3}
    )
    results = read_study(tmp_path).results
    assert [(row.method, row.dpc) for row in results.rows] == [("ddg", 5), ("ddg", 5), ("new", 10)]
    assert set(results.rows[-1].accuracies) == {"calibrated"}
    assert results.title("new") == "new" and results.comparisons == [] and results.power == {}


@pytest.mark.parametrize("content", [{"version": 2}, [], {}])
def test_another_version_of_a_study(tmp_path, content):
    builders.write_json(tmp_path / "study.json", content)
    with pytest.raises(UserError, match="version 1"):
        collect(tmp_path)


def test_several_runs(tmp_path):
    builders.sets(tmp_path / "distilled", builders.texts(8))
    builders.learner_run(tmp_path / "learner_a", "balanced")
    builders.learner_run(tmp_path / "learner_b", "runs/x/distilled", accuracy=0.9, distilled=True)
    builders.icl_run(tmp_path / "icl", "zero_shot", dpc=0)
    (results,) = results_of(collect(tmp_path))
    assert [(row.dpc, results.title(row.method)) for row in results.rows] == [
        (0, "zero-shot"),
        (2, "balanced random"),
        (2, "DDG"),
    ]
    assert results.facts == {
        "learner": "org/small",
        "language model": "lm-small",
        "split": "validation",
        "queries": "40",
    }
    (comparison,) = results.comparisons
    assert (comparison.a, comparison.b, comparison.measure) == ("distilled", "balanced", "learner:org/small")
    means = {row.method: row.accuracies["learner:org/small"].mean for row in results.rows if row.dpc}
    assert comparison.difference.mean == pytest.approx(means["distilled"] - means["balanced"])
    assert comparison.p_holm == comparison.p_value


def test_two_evaluations_of_the_same_keep_both(tmp_path):
    builders.icl_run(tmp_path / "a", "balanced")
    builders.icl_run(tmp_path / "b", "balanced")
    (results,) = results_of(collect(tmp_path))
    assert [results.title(row.method) for row in results.rows] == ["balanced random", "balanced random (b)"]


def test_two_distilled_generators_have_different_names(tmp_path):
    for name in ("one", "two"):
        builders.sets(tmp_path / name, builders.texts(8), check=False)
    contents = collect(tmp_path)
    assert [method_of(contents, run).title for run in contents.with_sets] == ["DDG (one)", "DDG (two)"]


def test_sets_without_a_record(tmp_path):
    builders.sets(tmp_path / "mine", builders.texts(8), check=False)
    (tmp_path / "mine" / "metadata.json").unlink()
    (run,) = collect(tmp_path / "mine").runs
    assert run.name == "mine" and run.stage == "" and run.has_sets and run.checks is None


def test_checks_of_other_rows_do_not_count(tmp_path):
    path = builders.sets(tmp_path / "mine", builders.texts(8))
    assert collect(path).runs[0].checks is not None
    checks = json.loads((path / "checks.json").read_text())
    checks["fingerprints"]["dpc_2"] = "0" * 64
    builders.write_json(path / "checks.json", checks)
    assert collect(path).runs[0].checks is None


def test_hidden_directories_and_checkpoints_are_passed_over(tmp_path):
    builders.training_run(tmp_path / "run")
    for other in (".hidden", "checkpoint-5"):
        builders.training_run(tmp_path / other)
    assert [run.name for run in collect(tmp_path).runs] == ["run"]


def test_mistakes(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    builders.record(tmp_path / "other", "convert")
    for source, message in (
        ("nowhere", "no directory"),
        ("file", "is a file"),
        ("empty", "nothing in"),
        ("other", "nothing in"),
    ):
        with pytest.raises(UserError, match=message):
            collect(tmp_path / source)
    for name in ("a", "b"):
        builders.write_json(tmp_path / "two" / name / "study.json", builders.study_plan())
    with pytest.raises(UserError, match="holds 2 studies"):
        collect(tmp_path / "two")
    assert collect(tmp_path / "two" / "a").study is not None


@pytest.mark.parametrize("content", ["{", "[]", "\x00"])
def test_unreadable_records(tmp_path, content):
    (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(UserError, match="metadata.json"):
        collect(tmp_path)
