# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/study_tables.py`: the tables of a page are those of its results."""

import json
from pathlib import Path

import pytest

from benchmarks.study_tables import KINDS, PLACE, written
from ddg_hf.errors import UserError

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def side(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


ROW = {"gradient_cosine": None, "label_consistency": 0.5, "tokens_per_demonstration": None, "learners": {}}
SMALL = {
    "num_queries": 300,
    "rows": [
        ROW | {"method": "balanced", "dpc": 5, "num_sets": 30, "icl": {"raw": side(0.9, 0.85, 0.951)}},
        ROW | {"method": "ddg", "dpc": 5, "num_sets": 5, "icl": {"raw": side(0.91, 0.9, 0.92)}},
        ROW
        | {"method": "ddg+likelihood", "dpc": 5, "num_sets": 5, "icl": {}, "learners": {"tiny": side(0.5, 0.4, 0.6)}},
    ],
    "comparisons": [
        {
            "measure": "raw",
            "dpc": 5,
            "a": "balanced",
            "b": "ddg",
            "difference": side(-0.01, -0.03, 0.02),
            "p_holm": 0.01,
        },
        {
            "measure": "raw",
            "dpc": 5,
            "a": "ddg+likelihood",
            "b": "ddg",
            "difference": side(0.02, -0.01, 0.05),
            "p_holm": 1,
        },
    ],
}


def page_of(tmp_path, *kinds):
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    page = "".join(f"before\n<!-- table: small {kind} -->\nold\n<!-- end -->\nafter\n" for kind in kinds)
    return written(page, tmp_path)


def test_a_table_replaces_what_was_there_and_nothing_else(tmp_path):
    once = page_of(tmp_path, "accuracy", "less balanced raw")
    assert "old" not in once and once.count("before\n") == once.count("after\n") == 2
    assert written(once, tmp_path) == once
    assert "| balanced random | 5 | 30 | 90.0 [85.0, 95.1] | - | - | 50 % | - |" in once
    assert "chosen by likelihood" not in once  # it has no result in context


def test_a_difference_is_turned_around_with_its_limits(tmp_path):
    assert "| DDG | +1.0 [-2.0, +3.0]* |" in page_of(tmp_path, "less balanced raw")
    assert "| balanced random | -1.0 [-3.0, +2.0]* |" in page_of(tmp_path, "less ddg raw")


def test_sets_chosen_by_likelihood_are_compared_with_the_others_of_their_method(tmp_path):
    assert "| DDG, chosen by likelihood | +2.0 [-1.0, +5.0] |" in page_of(tmp_path, "likelihood raw")


def test_learners(tmp_path):
    assert "| DDG, chosen by likelihood | 5 | 50.0 [40.0, 60.0] |" in page_of(tmp_path, "learners")


@pytest.mark.parametrize("kind", ["nothing", "less balanced", "accuracy raw"])
def test_mistakes_are_named(tmp_path, kind):
    with pytest.raises(UserError, match="no such table"):
        page_of(tmp_path, kind)
    with pytest.raises(UserError, match="is missing"):
        written("<!-- table: other accuracy -->\n<!-- end -->", tmp_path)


def test_the_tables_of_the_study_are_those_of_its_results():
    page = (RESULTS / "study_cpu.md").read_text(encoding="utf-8")
    kinds = {match["kind"].split()[0] for match in PLACE.finditer(page)}
    assert {"accuracy", "less", "transfer"} <= kinds <= set(KINDS)
    assert page.count("<!-- table:") == len(PLACE.findall(page))
    assert written(page, RESULTS / "study_cpu") == page, "run benchmarks/study_tables.py"
