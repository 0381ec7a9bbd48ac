# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is found in a directory, and mistakes that are said in one line."""

import json

import pyarrow.parquet as pq
import pytest

from ddg_hf.errors import UserError
from ddg_hf.report.accuracy import accuracy_tables, quality_table
from ddg_hf.report.collect import collect
from ddg_hf.report.evaluations import method_of, results_of
from ddg_hf.report.study import read_study
from tests.report import builders


def test_what_a_study_no_longer_has_is_left_out(tmp_path):
    builders.study(tmp_path)
    before = [run.name for run in collect(tmp_path).runs]
    builders.sets(tmp_path / "cells" / "sets" / "balanced+likelihood", builders.texts(4), dpc=5)
    builders.icl_run(tmp_path / "cells" / "icl" / "herding" / "dpc_5", "herding", dpc=5)
    assert [run.name for run in collect(tmp_path).runs] == before and "sets/ddg/seed_0" in before


def test_outputs_of_commands_that_are_not_done_are_left_out(tmp_path):
    """They are of settings that the study has no longer."""
    builders.study(tmp_path)
    plan = json.loads((tmp_path / "study.json").read_text())
    for cell in plan["cells"]:
        if cell["name"] in ("sets/ddg/seed_0", "distill/seed_0"):
            cell["state"] = "waiting"
    (tmp_path / "study.json").write_text(json.dumps(plan))
    names = {run.name for run in collect(tmp_path).runs}
    assert not names & {"sets/ddg/seed_0", "distill/seed_0"} and "pretrain/seed_0" in names


def test_a_study(tmp_path):
    contents = collect(builders.study(tmp_path / "films"))
    assert contents.name == "films" and contents.study.results is not None
    assert {run.name for run in contents.runs} >= {"icl/ddg/seed_0/dpc_5", "sets/ddg/seed_0", "distill/seed_0"}
    states = [cell.state for cell in contents.study.cells]
    assert states.count("failed") == 1 and states.count("waiting") == 1
    assert [run.name for run in contents.with_sets] == ["sets/ddg/seed_0"]
    (run,) = [run for run in contents.runs if run.name == "icl/lm_only/seed_0/dpc_5"]
    assert method_of(contents, run).title == "LM only"


def test_what_lies_beside_a_study_is_not_of_it(tmp_path):
    builders.study(tmp_path / "films")
    builders.sets(tmp_path / "other", builders.texts(4), check=False)
    contents = collect(tmp_path)
    assert contents.runs and not [run.name for run in contents.runs if run.name.startswith("..")]


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


def test_an_evaluation_is_of_the_sets_with_its_rows(tmp_path):
    for seed, (name, trained) in enumerate((("ddg", "distill"), ("lm_only", "pretrain"))):
        path = builders.sets(tmp_path / name / "sets", builders.texts(8, seed), trained=trained, check=False)
        recorded = collect(path).runs[0].set_fingerprints
        # The path of then says nothing: both have this name.
        builders.icl_run(tmp_path / "icl" / name, "moved/sets", distilled_sets=recorded)
    (results,) = results_of(collect(tmp_path))
    titles = {row.method: results.title(row.method) for row in results.rows}
    assert titles == {"ddg/sets": "DDG", "lm_only/sets": "LM-only generator"}


def test_without_rows_an_evaluation_is_of_the_sets_with_the_nearest_path(tmp_path):
    for seed, (name, trained) in enumerate((("ddg", "distill"), ("lm_only", "pretrain"))):
        builders.sets(tmp_path / name / "sets", builders.texts(8, seed), trained=trained, check=False)
    used = {"icl_a": "/then/lm_only/sets", "icl_b": "/then/ddg/sets/", "icl_c": "/then/sets", "icl_d": "/then/other"}
    for name, path in used.items():
        builders.icl_run(tmp_path / name, path)
    contents = collect(tmp_path)
    titles = [method_of(contents, run).title for run in contents.of_stages("evaluate-icl")]
    assert titles == ["LM-only generator", "DDG", "icl_c", "other"]


def test_two_choices_of_training_rows_have_different_names(tmp_path):
    for seed, name in enumerate(("one", "two")):
        path = builders.sets(tmp_path / name, builders.texts(8, seed), check=False)
        builders.record(path, "select", arguments={"demonstrations": "k_centers"})
    contents = collect(tmp_path)
    assert [method_of(contents, run).title for run in contents.with_sets] == ["K-centers (one)", "K-centers (two)"]


def test_several_language_models(tmp_path):
    for name in ("small", "large"):
        builders.icl_run(tmp_path / name, model=f"org/{name}")
    (results,) = results_of(collect(tmp_path))
    (row,) = results.rows
    assert results.main_measure() == "calibrated@org/large"
    assert row.spreads == {
        "raw@org/large": 0.02,
        "calibrated@org/large": 0.01,
        "raw@org/small": 0.02,
        "calibrated@org/small": 0.01,
    }
    assert quality_table(results).rows == [[2, "balanced random", *row.spreads.values()]]


def test_the_number_of_sets_may_depend_on_the_measure(tmp_path):
    aggregate = {"dpc": 2, "rounds": 2, "num_sets": 30, "num_queries": 40, "accuracy": builders.interval(0.6)}
    builders.icl_run(tmp_path / "icl", aggregates=[aggregate])
    builders.learner_run(tmp_path / "learner")
    (results,) = results_of(collect(tmp_path))
    (row,) = results.rows
    assert (row.fewest_sets, row.num_sets) == (3, 30)
    for table in accuracy_tables(results):
        assert [cells[:3] for cells in table.rows] == [[2, "balanced random", "3 to 30"]]


def test_two_splits_have_different_titles(tmp_path):
    for split in ("validation", "test"):
        builders.icl_run(tmp_path / split, split=split)
    found = results_of(collect(tmp_path))
    tables = [table for results in found for table in accuracy_tables(results)]
    assert [table.name for table in tables] == ["accuracy-films-test", "accuracy-films-validation"]
    assert [table.title for table in tables] == ["Accuracy on films (test)", "Accuracy on films (validation)"]


def _two_learners(path):
    builders.sets(path / "distilled", builders.texts(8), check=False)
    builders.learner_run(path / "learner_a", "balanced")
    return builders.learner_run(path / "learner_b", "distilled", accuracy=0.9, distilled=True) / "predictions.parquet"


def test_damaged_predictions_are_an_error(tmp_path):
    file = _two_learners(tmp_path)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="learner_b/predictions.parquet.*run the evaluation again"):
        results_of(collect(tmp_path))


def test_predictions_without_what_the_results_have_are_an_error(tmp_path):
    file = _two_learners(tmp_path)
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    with pytest.raises(UserError, match="no predictions of 2 demonstrations per class"):
        results_of(collect(tmp_path))


def test_what_cannot_be_paired_is_not_compared(tmp_path):
    file = _two_learners(tmp_path)
    table = pq.read_table(file)
    column = table.column_names.index("query")
    pq.write_table(table.set_column(column, "query", [[i + 1000 for i in table["query"].to_pylist()]]), file)
    assert results_of(collect(tmp_path))[0].comparisons == []
    pq.write_table(table.drop_columns("prediction"), file)
    assert results_of(collect(tmp_path))[0].comparisons == []
    file.unlink()
    assert results_of(collect(tmp_path))[0].comparisons == []


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
