# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`results.json` and `predictions.parquet` of an in-context evaluation: what is in them is right and agrees."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax
from sklearn import metrics

from ddg_hf.data.tasks import get_task
from ddg_hf.evaluation.icl import batch_calibrate
from ddg_hf.evaluation.icl_results import ICLRun, aggregate, answers_by_kind, run_row, write_results
from ddg_hf.evaluation.metrics import expected_calibration_error
from ddg_hf.evaluation.results import PREFIXES
from ddg_hf.evaluation.statistics import crossed_bootstrap
from tests.evaluation.predictions import (
    NUM_QUERIES,
    QUERY_IDS,
    REFERENCES,
    generated,
    make_prediction,
    make_runs,
    scored,
)

KEYS = ("dpc", "rounds", "set", "seed", "order")


@pytest.fixture
def write(tmp_path):
    """Writes runs of a task; returns the content of results.json and the rows of predictions.parquet."""

    def write(runs, task="sst2", **facts):
        results = write_results(tmp_path, runs, QUERY_IDS, REFERENCES, get_task(task), **facts)
        assert results == json.loads((tmp_path / "results.json").read_text())
        return results, pq.read_table(tmp_path / "predictions.parquet").to_pylist()

    return write


def test_kinds_against_their_formulas():
    prediction = scored(3)
    found = answers_by_kind(prediction)
    probabilities_QK = softmax(prediction.logprobs_QK, axis=1)
    expected = {
        "raw": prediction.logprobs_QK,
        "length_normalized": prediction.logprobs_QK / [1, 2],
        "contextual": np.log(probabilities_QK / softmax([-0.2, -1.7])),
        "calibrated": batch_calibrate(prediction.logprobs_QK),
    }
    assert list(found) == list(expected)
    for kind, scores_QK in expected.items():
        assert (found[kind].predictions_Q == scores_QK.argmax(1)).all()
        np.testing.assert_allclose(found[kind].confidences_Q, softmax(scores_QK, axis=1).max(1))
    assert len({tuple(answers.predictions_Q) for answers in found.values()}) == 4


def test_contextual_prior_of_each_query():
    prior_QK = np.random.default_rng(0).normal(size=(NUM_QUERIES, 2))
    prediction = scored(3)
    each = make_prediction(
        prediction.predictions_Q, logprobs_QK=prediction.logprobs_QK, contextual_logprobs_K=prior_QK
    )
    expected_Q = (prediction.logprobs_QK - prior_QK).argmax(1)
    assert (answers_by_kind(each)["contextual"].predictions_Q == expected_Q).all()


def test_failed_queries_are_wrong_and_do_not_calibrate_others():
    whole = scored(1)
    failed_Q = np.arange(NUM_QUERIES) < 4
    broken_QK = np.where(failed_Q[:, None], np.nan, whole.logprobs_QK)
    broken = make_prediction(np.where(failed_Q, -1, whole.predictions_Q), logprobs_QK=broken_QK, failed_Q=failed_Q)
    found = answers_by_kind(broken)
    for answers in found.values():
        assert (answers.predictions_Q[failed_Q] == -1).all() and np.isnan(answers.confidences_Q[failed_Q]).all()
    assert (found["calibrated"].predictions_Q[~failed_Q] == batch_calibrate(broken_QK[4:]).argmax(1)).all()
    nothing = make_prediction(np.full(5, -1), logprobs_QK=np.full((5, 2), np.nan), failed_Q=np.ones(5, dtype=bool))
    assert all((answers.predictions_Q == -1).all() for answers in answers_by_kind(nothing).values())


def test_rows_agree_with_the_predictions(write):
    done = make_runs()
    results, table = write(done, model="m", dtype="float32")
    assert (results["task"], results["model"], results["label_names"]) == ("sst2", "m", ["negative", "positive"])
    assert len(results["runs"]) == 12 and len(table) == 12 * NUM_QUERIES
    for row, run in zip(results["runs"], done, strict=True):
        keys = dict(zip(KEYS, (run.dpc, run.rounds, run.set_id, 42, run.order), strict=True))
        mine = [line for line in table if keys.items() <= line.items()]
        assert keys.items() <= row.items()
        assert [line["query"] for line in mine] == QUERY_IDS.tolist()
        for kind, prefix in PREFIXES.items():
            predictions = [line[f"{prefix}prediction"] for line in mine]
            assert row[f"{prefix}num_correct"] == (predictions == REFERENCES).sum()
            assert row[f"{prefix}accuracy"] == pytest.approx(row[f"{prefix}num_correct"] / NUM_QUERIES)
            expected = metrics.f1_score(REFERENCES, predictions, average="macro")
            assert row[f"{prefix}macro_f1"] == pytest.approx(expected)
            expected = metrics.matthews_corrcoef(REFERENCES, predictions)
            assert row[f"{prefix}matthews_correlation"] == pytest.approx(expected)
            answers = answers_by_kind(run.prediction)[kind]
            error = expected_calibration_error(answers.confidences_Q, answers.predictions_Q == REFERENCES)
            assert row[f"{prefix}expected_calibration_error"] == pytest.approx(error) and error > 0
        np.testing.assert_allclose([line["logprobs"] for line in mine], run.prediction.logprobs_QK, rtol=1e-5)
    assert {line["answer"] for line in table} == {None}
    assert {line["tie"] for line in table} == {line["failed"] for line in table} == {False}


def test_aggregate_averages_orders_and_crosses_sets_with_queries(write):
    done = make_runs()
    results, _ = write(done)
    assert [entry["dpc"] for entry in results["aggregates"]] == [5, 10]
    for entry in results["aggregates"]:
        mine = [row for row in results["runs"] if row["dpc"] == entry["dpc"]]
        for kind, prefix in PREFIXES.items():
            right = [
                answers_by_kind(run.prediction)[kind].predictions_Q == REFERENCES
                for run in done
                if run.dpc == entry["dpc"]
            ]
            matrix_SQ = np.array(right).reshape(3, 2, NUM_QUERIES).mean(axis=1)
            found = entry[f"{prefix}accuracy"]
            assert found == pytest.approx(
                crossed_bootstrap(matrix_SQ).as_dict() | {"sd": matrix_SQ.mean(1).std(ddof=1)}
            )
            assert found["low"] < found["mean"] < found["high"]
            for name in ("macro_f1", "matthews_correlation"):
                found = entry[f"{prefix}{name}"]
                assert found["mean"] == pytest.approx(np.mean([row[f"{prefix}{name}"] for row in mine]))
                assert found["low"] < found["mean"] < found["high"]
            assert set(entry[f"{prefix}expected_calibration_error"]) == {"mean", "sd"}
        assert (entry["num_sets"], entry["num_orders"], entry["num_queries"]) == (3, 2, NUM_QUERIES)
        assert entry["seconds_per_query"] == pytest.approx(2.0 / NUM_QUERIES)


def test_limits_are_values_that_there_are(write):
    """Of many labels with one query each the bias is large."""
    references_Q = np.arange(NUM_QUERIES)
    almost_Q = np.where(references_Q == 3, 4, references_Q)
    spec = get_task("banking77")
    rows = [ICLRun(1, 1, 0, 0, 0, make_prediction(almost_Q))]
    entry = aggregate(rows, [run_row(run, references_Q, spec) for run in rows], references_Q, spec)[0]
    assert 0.9 < entry["macro_f1"]["mean"] <= entry["macro_f1"]["high"] <= 1.0
    assert 0.5 < entry["macro_f1"]["low"] < entry["macro_f1"]["mean"]
    assert entry["matthews_correlation"]["high"] == 1.0
    rows = [ICLRun(1, 1, 0, 0, 0, make_prediction(np.where(references_Q == 3, 3, references_Q - 1)))]
    entry = aggregate(rows, [run_row(run, references_Q, spec) for run in rows], references_Q, spec)[0]
    assert 0.0 <= entry["macro_f1"]["low"] <= entry["macro_f1"]["mean"] < entry["macro_f1"]["high"]
    assert -1.0 <= entry["matthews_correlation"]["low"]


def test_one_set_has_no_spread(write):
    results, _ = write(make_runs(dpcs=(5,), num_sets=1))
    accuracy = results["aggregates"][0]["accuracy"]
    assert accuracy["sd"] is None and accuracy["low"] < accuracy["high"]


def test_counts_are_added_up(write):
    failed_Q = np.arange(NUM_QUERIES) < 3
    odd = make_prediction(
        np.where(failed_Q, -1, 0),
        logprobs_QK=np.where(failed_Q[:, None], np.nan, [[-1.0, -1.0]]),
        failed_Q=failed_Q,
        num_ties=37,
        rounds=3,
        dropped_rounds=2,
    )
    results, table = write([ICLRun(5, 5, 0, 1, 0, scored(0)), ICLRun(5, 5, 1, 1, 0, odd)])
    (entry,) = results["aggregates"]
    assert (entry["num_failed"], entry["num_ties"], entry["dropped_rounds"]) == (3, 37, 2)
    assert (results["runs"][1]["rounds_shown"], results["runs"][1]["dropped_rounds"]) == (3, 2)
    assert sum(line["tie"] for line in table) == 37
    lost = [line for line in table if line["failed"]]
    assert len(lost) == 3 and {line["prediction"] for line in lost} == {-1}
    assert {line["logprobs"] for line in lost} == {None}
    # the content-free queries failed too: there is nothing to compare with the other run
    assert "contextual_accuracy" not in entry and "contextual_accuracy" in results["runs"][0]


def test_per_label_and_confusion(write):
    done = make_runs(dpcs=(5,))
    results, table = write(done)
    for kind, prefix in PREFIXES.items():
        predictions = [line[f"{prefix}prediction"] for line in table]
        references = [line["reference"] for line in table]
        (confusion,) = [entry for entry in results["confusion"] if entry["prediction"] == kind]
        expected = metrics.confusion_matrix(references, predictions, labels=[0, 1, -1])[:2]
        assert confusion["counts"] == expected.tolist()
        (entry,) = [entry for entry in results["per_label"] if entry["prediction"] == kind]
        expected = metrics.precision_recall_fscore_support(references, predictions, labels=[0, 1])
        for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
            np.testing.assert_allclose(entry[name], values, atol=1e-4)


def test_metrics_of_the_task(write):
    cola, _ = write(make_runs(), "cola")
    qqp, _ = write(make_runs(), "qqp")
    first = answers_by_kind(make_runs()[0].prediction)
    expected = metrics.f1_score(REFERENCES, first["calibrated"].predictions_Q)
    assert qqp["runs"][0]["calibrated_f1"] == pytest.approx(expected)
    assert "f1" not in cola["runs"][0]
    mean = np.mean([row["f1"] for row in qqp["runs"] if row["dpc"] == 5])
    assert qqp["aggregates"][0]["f1"]["mean"] == pytest.approx(mean)


def test_generate(write):
    results, table = write(make_runs(generated))
    unparsable = sum(line["prediction"] == -1 for line in table)
    assert unparsable == sum(row["num_unparsable"] for row in results["runs"]) > 0
    assert unparsable == sum(row[-1] for entry in results["confusion"] for row in entry["counts"])
    assert {line["answer"] for line in table if line["prediction"] == -1} == {"huh"}
    assert results["aggregates"][0]["calibrated_accuracy"] is None
    assert results["runs"][0]["expected_calibration_error"] is None
    assert "calibrated_num_correct" not in results["runs"][0]
    for name in ("calibrated_prediction", "logprobs", "tie"):
        assert {line[name] for line in table} == {None}
