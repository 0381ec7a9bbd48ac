# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/gradient_transfer.py` and `study_pairs.py`: programs that read a study."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.study_pairs import by_seed, compare, source
from ddg_hf.cli import main
from ddg_hf.errors import UserError
from ddg_hf.study.comparisons import Side
from tests.study.conftest import OPTIONS, write_config

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name: str, *argv: str):
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


def test_pairs_of_a_study_are_its_comparisons(study):
    (found,) = run("study_pairs.py", "--dpc", "1", "2", "--pair", f"{study}:k_centers", f"{study}:balanced")
    comparisons = json.loads((study / "results.json").read_text())["comparisons"]
    theirs = {(row["dpc"], row["measure"]): row for row in comparisons if row["measure"] in ("raw", "calibrated")}
    mine = {(row["dpc"], row["accuracy"]): row for row in found["rows"]}
    assert mine.keys() == theirs.keys() and len(mine) == 4
    for key, row in mine.items():
        assert (theirs[key]["a"], theirs[key]["b"]) == ("k_centers", "balanced")
        for side in ("mean", "low", "high"):
            assert row["difference"][side] == pytest.approx(100 * theirs[key]["difference"][side], abs=0.01)
        assert row["by_seed"] == {"0": row["difference"]["mean"]}


def test_studies_of_other_data_are_not_compared(study, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(study / "cells" / "icl", other / "cells" / "icl")
    record = other / "cells" / "icl" / "balanced" / "dpc_1" / "metadata.json"
    content = json.loads(record.read_text())
    content["data_fingerprint"]["test"] = "0" * 64
    record.write_text(json.dumps(content))
    with pytest.raises(UserError, match="the rows of the split 'test' are not the same"):
        compare((study, "balanced"), (other, "balanced"), [1])


def test_differences_of_each_training_seed():
    first = Side(np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]), np.array([0, 0, 1]), np.arange(2))
    second = Side(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([0, 2]), np.arange(2))
    assert by_seed(first, second) == {0: 25.0}
    with pytest.raises(UserError, match="'runs/study' is not STUDY:METHOD"):
        source("runs/study")
