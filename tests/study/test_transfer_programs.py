# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/gradient_transfer.py` and `benchmarks/hard_rows.py`: what goes with accuracy in context."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.hard_rows import DIFFICULTIES, label_probabilities, thirds
from ddg_hf.cli import main
from tests.study.conftest import OPTIONS, write_config

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name: str, *argv: str) -> dict:
    """What a program prints."""
    done = subprocess.run([sys.executable, str(BENCHMARKS / name), *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def study(tmp_path_factory, model_dir):
    """A study of real rows with sets enough for a rank correlation."""
    path = tmp_path_factory.mktemp("transfer")
    few = {"methods": ["balanced", "k_centers"], "num_sets": 4, "learner_dpc": [1], "learner_sets": 1}
    options = OPTIONS | {"evaluate-learner": {"train_steps": 1, "num_seeds": 1}}
    config = write_config(path / "study.yaml", model=model_dir, options=options, **few)
    assert main(["study", "--config", str(config), "--output_dir", str(path / "run")]) == 0
    return path / "run"


SNAPSHOTS = "--real_per_class 8 --snapshots 2 --snapshot_steps 1".split()


def test_at_the_learner_of_the_study_nothing_changes(study):
    found = run("gradient_transfer.py", "--study", str(study), "--task", "toy", "--learner", "tiny", *SNAPSHOTS)
    results = json.loads((study / "results.json").read_text())
    assert found["with_each_other"]["mean"] > 0.9  # the study rounds to six digits, which makes ties of cosines near 1
    for kind, table in results["transfer"].items():
        (mine,) = [row["correlation"]["mean"] for row in table if row["measure"] == "gradient_cosine"] or [None]
        correlation = found["with_accuracy"][kind]["study_learner"]
        assert (correlation and correlation["mean"]) == pytest.approx(mine)
    assert any(row["measure"] == "gradient_cosine" for row in results["transfer"]["calibrated"])
    rows = {(row["method"], row["dpc"]): row for row in results["rows"]}
    assert {(entry["sets"], entry["dpc"]) for entry in found["means"]} == set(rows)
    for entry in found["means"]:
        row = rows[entry["sets"], entry["dpc"]]
        assert entry["learner"] == pytest.approx(row["gradient_cosine"]["mean"], abs=1e-5)
        assert entry["study_learner"] == pytest.approx(row["gradient_cosine"]["mean"]) and entry["num_sets"] == 4
        assert entry["raw"] == pytest.approx(row["icl"]["raw"]["mean"])


def test_cosines_at_another_learner(study, model_dir):
    argv = ["--study", str(study), "--task", "toy", "--learner", model_dir, "--dpc", "2", *SNAPSHOTS]
    found = run("gradient_transfer.py", *argv)
    assert [(entry["sets"], entry["dpc"]) for entry in found["means"]] == [("balanced", 2), ("k_centers", 2)]
    assert all(entry["learner"] != pytest.approx(entry["study_learner"], abs=1e-5) for entry in found["means"])
    assert found["with_each_other"]["mean"] < 1


def test_a_study_that_is_not_there_is_named(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "gradient_transfer.py"), "--task", "toy", "--study", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "no sets" in done.stderr and "Traceback" not in done.stderr


def test_no_classifier_has_seen_the_row_that_it_judges():
    rng = np.random.default_rng(0)
    # More columns than rows: a classifier that has seen a row knows its label, and chance is all that is left.
    embeddings, labels = rng.normal(size=(200, 400)), rng.integers(0, 2, size=200)
    assert 0.35 < (label_probabilities(embeddings, labels, seed=0) > 0.5).mean() < 0.65
    told = np.column_stack([embeddings, 100.0 * labels])
    assert (label_probabilities(told, labels, seed=0) > 0.5).all()


def test_thirds_are_of_one_label_and_ordered():
    probabilities, labels = np.array([0.9, 0.1, 0.5, 0.3, 0.2, 0.8, 0.7]), [1, 1, 1, 0, 0, 0, 0]
    found = thirds(probabilities, labels)
    assert found["hard"] == {0: [4, 3], 1: [1]} and found["easy"] == {0: [5], 1: [0]}
    assert sorted(i for by_label in found.values() for part in by_label.values() for i in part) == list(range(7))


def test_hard_rows_are_drawn_and_evaluated(model_dir, tmp_path):
    argv = ["--task", "toy", "--learner", "tiny", "--model", model_dir, "--dpc", "1", "2", "--num_sets", "3"]
    argv += ["--test_number", "6", "--output_dir", str(tmp_path / "hard")]
    found = run("hard_rows.py", *argv)
    assert [(row["rows"], row["dpc"], row["sets"]) for row in found["rows"]] == [
        (name, n, 3) for name in DIFFICULTIES for n in (1, 2)
    ]
    confirmed = {row["rows"]: row["label_likelier_than_not"] for row in found["rows"]}
    assert confirmed["hard"] <= confirmed["middle"] <= confirmed["easy"]
    drawn = {}
    for name in DIFFICULTIES:
        table = pq.read_table(tmp_path / "hard" / name / "dpc_2" / "train.parquet").to_pandas()
        assert table.groupby("set")["label"].value_counts().eq(2).all()
        drawn[name] = set(table["text"])
    assert not drawn["hard"] & drawn["easy"]
    rows = {(row["rows"], row["dpc"]): row for row in found["rows"]}
    for entry in found["differences"]:
        pair = [rows[name, entry["dpc"]][entry["prediction"]]["mean"] for name in (entry["rows"], entry["minus"])]
        assert entry["mean"] == pytest.approx(pair[0] - pair[1])
    assert run("hard_rows.py", *argv) == found
