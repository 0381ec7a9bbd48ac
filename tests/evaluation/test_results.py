# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`results.json` and `predictions.parquet`: what is in them agrees, and they are whole or absent."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from ddg_hf.data.tasks import get_task
from ddg_hf.evaluation.icl import ICLPrediction
from ddg_hf.evaluation.results import ICLRun, write_results
from ddg_hf.evaluation.statistics import crossed_bootstrap

NUM_QUERIES = 40
REFERENCES = np.arange(NUM_QUERIES) % 2
QUERY_IDS = np.arange(NUM_QUERIES) * 3


def prediction(seed, scoring="likelihood"):
    rng = np.random.default_rng(seed)
    if scoring == "generate":
        predictions = rng.integers(-1, 2, NUM_QUERIES)
        answers = ["huh" if p == -1 else "no yes".split()[p] for p in predictions]
        return ICLPrediction(predictions, None, None, answers, int((predictions == -1).sum()), 2.0, 17)
    logprobs = rng.normal(-3, 1, (NUM_QUERIES, 2))
    logprobs[np.arange(NUM_QUERIES), REFERENCES] += 1
    calibrated = rng.integers(0, 2, NUM_QUERIES)
    return ICLPrediction(logprobs.argmax(1), calibrated, logprobs, None, 0, 2.0, 17)


def runs(scoring="likelihood"):
    return [
        ICLRun(dpc, dpc, set_id, 42, order, prediction(100 * dpc + 10 * set_id + order, scoring))
        for dpc in (5, 10)
        for set_id in range(3)
        for order in range(2)
    ]


def test_likelihood(tmp_path):
    done = runs()
    results = write_results(tmp_path, done, QUERY_IDS, REFERENCES, get_task("sst2"), model="m", dtype="float32")
    assert results == json.loads((tmp_path / "results.json").read_text())
    assert (results["task"], results["model"], results["label_names"]) == ("sst2", "m", ["negative", "positive"])
    assert len(results["runs"]) == 12
    table = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert len(table) == 12 * NUM_QUERIES
    for row, run in zip(results["runs"], done, strict=True):
        keys = {"dpc": run.dpc, "set": run.set_id, "order": run.order, "seed": 42}
        mine = [line for line in table if keys.items() <= line.items()]
        assert keys.items() <= row.items()
        assert [line["query"] for line in mine] == QUERY_IDS.tolist()
        assert row["num_correct"] == sum(line["prediction"] == line["reference"] for line in mine)
        assert row["num_correct_calibrated"] == sum(
            line["calibrated_prediction"] == line["reference"] for line in mine
        )
        assert row["accuracy"] == pytest.approx(row["num_correct"] / row["num_queries"])
        np.testing.assert_allclose([line["logprobs"] for line in mine], run.prediction.logprobs_QK, rtol=1e-5)
    assert {line["answer"] for line in table} == {None}


def test_aggregate_averages_orders_and_crosses_sets_with_queries(tmp_path):
    done = runs()
    results = write_results(tmp_path, done, QUERY_IDS, REFERENCES, get_task("sst2"))
    assert [entry["dpc"] for entry in results["aggregates"]] == [5, 10]
    for entry in results["aggregates"]:
        right = np.array([r.prediction.predictions_Q == REFERENCES for r in done if r.dpc == entry["dpc"]])
        expected = crossed_bootstrap(right.reshape(3, 2, NUM_QUERIES).mean(axis=1))
        assert entry["accuracy"] == expected.as_dict()
        assert entry["accuracy"]["low"] < entry["accuracy"]["mean"] < entry["accuracy"]["high"]
        mine = [row for row in results["runs"] if row["dpc"] == entry["dpc"]]
        mean = np.mean([row["num_correct_calibrated"] for row in mine]) / NUM_QUERIES
        assert entry["calibrated_accuracy"]["mean"] == pytest.approx(mean)
        assert (entry["num_sets"], entry["num_orders"], entry["num_queries"]) == (3, 2, NUM_QUERIES)
        assert entry["seconds_per_query"] == pytest.approx(2.0 / NUM_QUERIES)


def test_metrics_of_the_task(tmp_path):
    cola = write_results(tmp_path / "cola", runs(), QUERY_IDS, REFERENCES, get_task("cola"))
    qqp = write_results(tmp_path / "qqp", runs(), QUERY_IDS, REFERENCES, get_task("qqp"))
    first = runs()[0].prediction
    assert cola["runs"][0]["matthews_correlation"] == pytest.approx(matthews_corrcoef(REFERENCES, first.predictions_Q))
    assert qqp["runs"][0]["calibrated_f1"] == pytest.approx(f1_score(REFERENCES, first.calibrated_predictions_Q))
    assert {"accuracy", "calibrated_accuracy"} <= set(cola["runs"][0])
    mean = np.mean([row["matthews_correlation"] for row in cola["runs"] if row["dpc"] == 5])
    assert cola["aggregates"][0]["matthews_correlation"] == pytest.approx(mean)


def test_generate(tmp_path):
    results = write_results(tmp_path, runs("generate"), QUERY_IDS, REFERENCES, get_task("sst2"))
    table = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    unparsable = sum(line["prediction"] == -1 for line in table)
    assert unparsable == sum(row["num_unparsable"] for row in results["runs"]) > 0
    assert {line["answer"] for line in table if line["prediction"] == -1} == {"huh"}
    assert results["aggregates"][0]["calibrated_accuracy"] is None
    assert results["runs"][0]["num_correct_calibrated"] is None
    assert {line["calibrated_prediction"] for line in table} == {line["logprobs"] for line in table} == {None}


def test_nothing_half_written(tmp_path, monkeypatch):
    def fail(table, path, **options):
        with open(path, "wb") as file:
            file.write(b"PAR1")
        raise OSError("disk full")

    monkeypatch.setattr("ddg_hf.evaluation.results.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_results(tmp_path, runs(), QUERY_IDS, REFERENCES, get_task("sst2"))
    assert list(tmp_path.iterdir()) == []
