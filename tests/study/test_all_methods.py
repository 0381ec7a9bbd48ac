# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Every method, every kind of tiny learner, and the report of a study, on the toy task with tiny models."""

import csv
import json

import pytest

from ddg_hf.cli import main
from ddg_hf.models.tiny import TINY_LEARNERS
from ddg_hf.study.methods import METHODS
from tests.study.conftest import write_config

RERANKED = ["lm_only+likelihood", "herding+likelihood"]


@pytest.fixture(scope="module")
def study(tmp_path_factory, model_dir):
    """The directory of a finished study."""
    path = tmp_path_factory.mktemp("all_methods")
    given = path / "given"
    argv = ["select", "--task", "toy", "--demonstrations", "balanced", "--dpc", "1", "--num_sets", "1"]
    assert main([*argv, "--learner", "tiny", "--output_dir", str(given)]) == 0
    changes = {
        "methods": [*METHODS, *RERANKED],
        "given": {"published": str(given)},
        "dpc": [1],
        "num_sets": 1,
        "training_seeds": 1,
        "seed_counts": {},
        "unseen_learners": [name for name in TINY_LEARNERS if name != "tiny"],
        "learner_dpc": [1],
    }
    config = write_config(path / "study.yaml", model=model_dir, **changes)
    assert main(["study", "--config", str(config), "--output_dir", str(path / "run"), "--num_workers", "2"]) == 0
    return path / "run"


def test_every_method_has_results(study):
    results = json.loads((study / "results.json").read_text(encoding="utf-8"))
    assert results["missing"] == []
    rows = {row["method"]: row for row in results["rows"]}
    assert set(rows) == {*METHODS, *RERANKED, "published"}
    assert all({"raw", "calibrated"} <= set(row["icl"]) for row in rows.values())


def test_every_kind_of_learner_is_trained_on_every_set(study):
    results = json.loads((study / "results.json").read_text(encoding="utf-8"))
    without_sets = {"zero_shot", "bm25", "topk"}
    trained = {row["method"]: set(row["learners"]) for row in results["rows"]}
    assert {name for name, learners in trained.items() if not learners} == without_sets
    assert all(set(TINY_LEARNERS) == learners for name, learners in trained.items() if name not in without_sets)


def test_the_report_shows_every_method_and_its_plots(study):
    page = (study / "report.html").read_text(encoding="utf-8")
    assert all(METHODS[name].title in page for name in METHODS)
    figures = {
        path.suffix: {file.stem for file in (study / "figures").glob(f"*{path.suffix}")}
        for path in (study / "figures").iterdir()
    }
    assert figures[".png"] == figures[".svg"] and figures[".png"] <= figures[".csv"] and len(figures[".png"]) > 2
    for path in (study / "figures").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            assert len(list(csv.reader(file))) > 1, path.name
