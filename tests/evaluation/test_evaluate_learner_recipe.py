# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf evaluate-learner` from arguments to files, on the toy task with a tiny learner."""

import json

import pyarrow.parquet as pq
import pytest

from ddg_hf.cli import run
from ddg_hf.models import encoder
from recipes.evaluate_learner import main

LABELS = ("praise", "complaint", "refund", "delivery", "cancellation", "question")


@pytest.fixture
def arguments(tmp_path):
    return [
        *("--task", "toy", "--learner", "tiny", "--train_steps", "1", "--num_seeds", "2", "--test_number", "12"),
        *("--output_dir", str(tmp_path / "out"), "--seed", "1"),
    ]


def test_encoder_is_loaded_once(tmp_path, arguments, monkeypatch):
    made, original = [], encoder.TextEncoder.__init__

    def count(self, *args, **kwargs):
        made.append(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(encoder.TextEncoder, "__init__", count)
    assert main([*arguments, "--demonstrations", "k_centers", "--dpc", "1", "2", "--num_sets", "1"]) == 0
    assert len(made) == 1
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [entry["dpc"] for entry in results["aggregates"]] == [1, 2]
    assert results["training_rows"] == "k_centers"


def test_demonstrations_may_be_a_directory(tmp_path, arguments):
    folder = tmp_path / "distilled" / "dpc_1"
    folder.mkdir(parents=True)
    for number in range(2):
        rows = [{"text": f"{label} {number}", "labels": k} for k, label in enumerate(LABELS)]
        (folder / f"dataset_{number}.json").write_text("\n".join(map(json.dumps, rows)))
    assert main([*arguments, "--demonstrations", str(folder.parent)]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["training_rows"] == str(folder.parent)
    (entry,) = results["aggregates"]
    assert (entry["num_sets"], entry["num_seeds"], entry["num_queries"]) == (2, 2, 12)
    predictions = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert len(predictions) == 2 * 2 * 12
    right = sum(row["prediction"] == row["reference"] for row in predictions)
    assert right == sum(row["num_correct"] for row in results["runs"])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--dpc", "0"], "--dpc must be"),
        (["--num_sets", "-1"], "--num_sets must be at least 1"),
        (["--test_number", "0"], "--test_number must be at least 1"),
        (["--demonstrations", "zero_shot"], "unknown demonstrations 'zero_shot'"),
        (["--split", "train"], "both come from the training split"),
        (["--split", "valid"], "Did you mean 'validation'"),
    ],
)
def test_mistakes_are_one_line(extra, message, tmp_path, arguments, capsys):
    assert run(main, [*arguments, *extra]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "out").exists()
