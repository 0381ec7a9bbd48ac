# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf evaluate-learner` on sets from every kind of source that a classifier can be trained on."""

import json

import pytest

from recipes.evaluate_learner import main

LABELS = ("praise", "complaint", "refund", "delivery", "cancellation", "question")


@pytest.fixture
def evaluate(tmp_path):
    def evaluate(*extra):
        options = ["--task", "toy", "--learner", "tiny", "--train_steps", "1", "--num_seeds", "1"]
        assert main([*options, "--test_number", "6", "--output_dir", str(tmp_path / "out"), *extra]) == 0
        return json.loads((tmp_path / "out" / "results.json").read_text())

    return evaluate


def test_herding(evaluate):
    results = evaluate("--demonstrations", "herding", "--dpc", "1", "2")
    assert [(entry["dpc"], entry["num_sets"]) for entry in results["aggregates"]] == [(1, 1), (2, 1)]
    assert results["training_rows"] == "herding"


def test_file_of_json_lines(evaluate, tmp_path):
    file = tmp_path / "mine.jsonl"
    rows = [{"text": f"{label} {i}", "label": label, "set": i // 2} for label in LABELS for i in range(4)]
    file.write_text("\n".join(map(json.dumps, rows)))
    results = evaluate("--demonstrations", str(file))
    assert [(entry["dpc"], entry["num_sets"]) for entry in results["aggregates"]] == [(2, 2)]
    assert results["training_rows"] == str(file)
