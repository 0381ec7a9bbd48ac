# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf compare`: pairs by query, and refuses what cannot be compared."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ddg_hf.cli import main, run
from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.comparison import compare
from ddg_hf.evaluation.icl_results import write_results
from ddg_hf.evaluation.significance import paired_permutation_test
from ddg_hf.evaluation.statistics import paired_difference
from recipes import compare as recipe
from tests.evaluation.predictions import NUM_QUERIES, QUERY_IDS, REFERENCES, generated, make_runs, scored

SPEC = get_task("sst2")


def shifted(skill):
    return lambda seed: scored(seed + 1000, skill)


@pytest.fixture
def write(tmp_path):
    """Writes an evaluation into a directory of this name; returns the directory."""

    def write(name, runs=None, query_ids=QUERY_IDS, references=REFERENCES, spec=SPEC, split="validation"):
        runs = make_runs() if runs is None else runs
        write_results(tmp_path / name, runs, query_ids, references, spec, split=split, demonstrations=name)
        return str(tmp_path / name)

    return write


def right(runs, dpc):
    """Shares of right answers, [sets, queries]."""
    by_set = {}
    for done in runs:
        if done.dpc == dpc:
            by_set.setdefault(done.set_id, []).append(done.prediction.predictions_Q == REFERENCES)
    return np.stack([np.mean(orders, axis=0) for orders in by_set.values()])


def test_difference_is_that_of_the_predictions(write):
    first, second = make_runs(num_sets=2), make_runs(shifted(0.2), num_orders=1)
    comparison = compare(write("a", first), write("b", second))
    assert [row["dpc_a"] for row in comparison["rows"]] == [5, 10]
    for row in comparison["rows"]:
        a_SQ, b_TQ = right(first, row["dpc_a"]), right(second, row["dpc_b"])
        assert row["accuracy_a"]["mean"] == pytest.approx(a_SQ.mean())
        assert row["difference"] == pytest.approx(paired_difference(a_SQ, b_TQ).as_dict())
        assert row["p_value"] == paired_permutation_test(a_SQ.mean(0) - b_TQ.mean(0))
        assert (row["num_sets_a"], row["num_sets_b"], row["num_queries"]) == (2, 3, NUM_QUERIES)
        assert row["num_unpaired"] == 0
    p_values = sorted(row["p_value"] for row in comparison["rows"])
    assert min(row["p_value_holm"] for row in comparison["rows"]) == pytest.approx(min(2 * p_values[0], 1.0))


def test_pairs_by_query_whatever_the_order_of_the_rows(write):
    shuffle = np.random.default_rng(0).permutation(NUM_QUERIES)
    runs = make_runs(dpcs=(5,))
    mixed = []
    for done in runs:
        prediction = done.prediction
        arrays = {"predictions_Q": prediction.predictions_Q[shuffle], "logprobs_QK": prediction.logprobs_QK[shuffle]}
        mixed.append(dataclasses.replace(done, prediction=dataclasses.replace(prediction, **arrays)))
    first = write("a", runs)
    second = write("b", mixed, QUERY_IDS[shuffle], REFERENCES[shuffle])
    (row,) = compare(first, second)["rows"]
    assert row["difference"]["mean"] == 0.0 and row["p_value"] == 1.0


def test_only_common_queries_are_used(write):
    some = make_runs(dpcs=(5,))
    first = write("a", some)
    second = write("b", some, np.where(np.arange(NUM_QUERIES) < 30, QUERY_IDS, 1000 + QUERY_IDS))
    (row,) = compare(first, second)["rows"]
    assert (row["num_queries"], row["num_unpaired"]) == (30, 20)
    expected = paired_difference(right(some, 5)[:, :30], right(some, 5)[:, :30])
    assert row["difference"] == pytest.approx(expected.as_dict())


def test_kind_of_predictions(write):
    first, second = write("a"), write("b", make_runs(shifted(0.0)))
    kinds = ("raw", "length_normalized", "contextual", "calibrated")
    means = [compare(first, second, kind)["rows"][0]["difference"]["mean"] for kind in kinds]
    assert len(set(means)) > 2
    expected = json.loads(Path(first, "results.json").read_text())["aggregates"][0]["calibrated_accuracy"]
    found = compare(first, second, "calibrated")["rows"][0]["accuracy_a"]
    assert found["mean"] == pytest.approx(expected["mean"])
    with pytest.raises(UserError, match="no predictions of the kind 'calibrated'; it has raw"):
        compare(first, write("c", make_runs(generated)), "calibrated")


def test_zero_shot_is_compared_with_each(write):
    zero = write("zero", make_runs(dpcs=(0,), num_sets=1, num_orders=1))
    comparison = compare(write("a"), zero)
    assert [(row["dpc_a"], row["dpc_b"]) for row in comparison["rows"]] == [(5, 0), (10, 0)]
    with pytest.raises(UserError, match=r"'.*/b' has 1 \(1 rounds\), 2 \(2 rounds\)"):
        compare(write("a"), write("b", make_runs(dpcs=(1, 2))))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"split": "test"}, "split is validation in '.*/a' and test in '.*/b'"),
        ({"spec": get_task("cr")}, "task is sst2 in"),
        ({"query_ids": QUERY_IDS + 1}, "no query in common"),
        ({"references": 1 - REFERENCES}, "row 0 of the split has two labels"),
    ],
)
def test_what_cannot_be_compared_says_why(changes, message, write):
    first, second = write("a"), write("b", **changes)
    with pytest.raises(UserError, match=message):
        compare(first, second)


def test_other_data(write, tmp_path):
    first, second = write("a"), write("b")
    for name, content in (("a", "0"), ("b", "1")):
        record = {"stage": "evaluate-icl", "data_fingerprint": {"validation": content, "train": "same"}}
        (tmp_path / name / "metadata.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="rows of the split 'validation' are not the same"):
        compare(first, second)


@pytest.mark.parametrize("content", ["[]", "null", '{"data_fingerprint": null}', '{"data_fingerprint": []}'])
def test_a_record_without_fingerprints(content, write, tmp_path):
    first, second = write("a"), write("b")
    (tmp_path / "a" / "metadata.json").write_text(content)
    assert compare(first, second)["rows"]


def test_failed_queries_must_be_asked_again(write):
    runs = make_runs(dpcs=(5,))
    failed_Q = np.arange(NUM_QUERIES) == 3
    runs[0] = dataclasses.replace(runs[0], prediction=dataclasses.replace(runs[0].prediction, failed_Q=failed_Q))
    with pytest.raises(UserError, match="1 queries of '.*/b' failed; run its evaluation again"):
        compare(write("a"), write("b", runs))


def test_files_that_are_not_an_evaluation(write, tmp_path):
    first = write("a")
    with pytest.raises(UserError, match="nowhere' does not exist"):
        compare(first, str(tmp_path / "nowhere"))
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    (lonely / "results.json").write_text((tmp_path / "a" / "results.json").read_text())
    with pytest.raises(UserError, match="no predictions.parquet beside"):
        compare(first, str(lonely))
    for content in ("{}", "[]", "no json"):
        (tmp_path / "a" / "results.json").write_text(content)
        with pytest.raises(UserError, match="not those of an evaluation"):
            compare(first, first)


def test_command_line(write, tmp_path, capsys):
    first, second = write("a"), write("b", make_runs(shifted(3.0)))
    output = tmp_path / "new" / "comparison.json"
    assert main(["compare", f"{first}/results.json", second, "--output", str(output)]) == 0
    assert json.loads(output.read_text()) == compare(f"{first}/results.json", second)
    printed = capsys.readouterr().out
    assert "sst2, raw predictions" in printed
    row = json.loads(output.read_text())["rows"][0]
    assert f"{100 * row['difference']['mean']:+.1f}" in printed and f"{row['p_value_holm']:.4f}" in printed


def test_learner_evaluations(tmp_path):
    """They have neither rounds nor orders."""
    options = ["--task", "toy", "--learner", "tiny", "--train_steps", "9", "--num_seeds", "2", "--test_number", "12"]
    for kind in ("random", "balanced"):
        sets = ["--demonstrations", kind, "--dpc", "1", "2", "--num_sets", "2", "--output_dir", str(tmp_path / kind)]
        assert main(["evaluate-learner", *options, *sets]) == 0
    comparison = compare(str(tmp_path / "random"), str(tmp_path / "balanced"))
    assert [(row["dpc_a"], row["rounds_a"], row["num_sets_a"]) for row in comparison["rows"]] == [(1, 1, 2), (2, 2, 2)]
    for side, kind in (("a", "random"), ("b", "balanced")):
        aggregates = json.loads((tmp_path / kind / "results.json").read_text())["aggregates"]
        assert [row[f"accuracy_{side}"] for row in comparison["rows"]] == [entry["accuracy"] for entry in aggregates]
    assert comparison["rows"][0]["num_queries"] == 12


def test_command_line_says_how_many_queries_are_used(write, capsys):
    second = write("b", query_ids=np.where(np.arange(NUM_QUERIES) < 30, QUERY_IDS, 1000 + QUERY_IDS))
    assert main(["compare", write("a"), second]) == 0
    assert "the 30 queries that both have are used; 20 are in one of them only" in capsys.readouterr().out


@pytest.mark.parametrize(
    "extra, message",
    [
        ([], "required: b"),
        (["x", "--prediction", "best"], "invalid choice: 'best'"),
        (["x", "--num_permutations", "0"], "--num_permutations must be at least 1"),
        (["x", "--seed", "-1"], "--seed must not be negative"),
        (["x"], "'x' does not exist"),
    ],
)
def test_mistakes_are_one_line(extra, message, write, capsys):
    assert run(recipe.main, [write("a"), *extra]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and message in line
