# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf evaluate-icl` with a server that fails: exit code 1, and another try with the same command."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from ddg_hf.cli import run
from ddg_hf.evaluation.icl_results import ICLRun
from recipes.evaluate_icl import main, report_failures
from tests.evaluation.icl.fault_server import FaultServer, say, status
from tests.evaluation.predictions import make_prediction

# Put together here, so that nobody takes it for a key.
SECRET = "-".join(("sk", "OnlyForTheServerAndNobodyElse"))


def read(path):
    results = json.loads((path / "results.json").read_text())
    return results, pq.read_table(path / "predictions.parquet").to_pandas()


@pytest.fixture
def served(tmp_path):
    """Arguments for a model behind a server, without those of the model in this process."""
    return [
        *("--task", "toy", "--model", "some-model", "--test_number", "9", "--num_sets", "2", "--dpc", "1"),
        *("--scoring", "generate", "--max_retries", "0", "--output_dir", str(tmp_path / "out"), "-k", SECRET),
    ]


def test_failed_queries_end_with_exit_code_1_and_are_retried(served, tmp_path, capsys):
    def refuse_some(number, asked):
        return status(500) if number in (4, 13) else None

    with FaultServer(say(lambda asked: "refund"), refuse_some) as server:
        command = [*served, "--base_url", server.url, "--concurrency", "1"]
        assert run(main, command) == 1
        error = capsys.readouterr().err
        assert "2 of 18 queries failed; start the same command again to retry them" in error
        assert "simulated 500" in error
        results, predictions = read(tmp_path / "out")
        assert not (tmp_path / "out" / "metadata.json").exists()
        assert results["aggregates"][0]["num_failed"] == predictions["failed"].sum() == 2
        assert set(predictions["prediction"][predictions["failed"]]) == {-1}
        first = len(server.asked)
        assert run(main, command) == 0
        asked_again = [asked.text for asked in server.asked[first:]]
    assert len(asked_again) == 2
    results, predictions = read(tmp_path / "out")
    assert not predictions["failed"].any() and set(predictions["prediction"]) == {2}
    assert results["backend"] == "server" and results["dtype"] is None and results["model"] == "some-model"
    assert (tmp_path / "out" / "metadata.json").is_file()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "metadata.json",
        "predictions.parquet",
        "results.json",
    ]


def test_key_is_sent_and_written_nowhere(served, tmp_path, capsys):
    fail_once = [status(500)]
    with FaultServer(
        say(lambda asked: "refund"), lambda number, asked: fail_once.pop() if fail_once else None
    ) as server:
        command = [*served, "--base_url", server.url]
        assert run(main, command) == 1
        kept = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        assert any(path.parent.parent.name == ".partial" for path in kept)
        assert run(main, command) == 0
        sent = [{name.lower(): value for name, value in asked.headers.items()} for asked in server.asked]
        assert {headers["authorization"] for headers in sent} == {f"Bearer {SECRET}"}
    kept += [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    for path in kept:
        assert not path.exists() or SECRET.encode() not in path.read_bytes()
    assert json.loads((tmp_path / "out" / "metadata.json").read_text())["arguments"]["api_key"] == "<redacted>"
    assert SECRET not in "".join(capsys.readouterr())


def test_server_does_not_score(served, tmp_path, capsys):
    with FaultServer(say(lambda asked: "refund")) as server:
        assert run(main, [*served, "--base_url", server.url, "--scoring", "likelihood"]) == 2
    assert "pass --scoring generate" in capsys.readouterr().err
    assert not (tmp_path / "out" / "results.json").exists()


def test_report_of_many_failures_is_short(capsys):
    lines = tuple(f"query {i}: no answer" for i in range(8))
    failed = make_prediction(np.full(8, -1), failed_Q=np.ones(8, dtype=bool), failures=lines)
    assert report_failures([ICLRun(1, 1, 0, 0, 0, failed)])
    error = capsys.readouterr().err
    assert "query 4" in error and "query 5" not in error and "... and 3 more" in error
    assert not report_failures([ICLRun(1, 1, 0, 0, 0, make_prediction([0, 1]))])
