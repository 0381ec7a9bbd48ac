# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/study_tables.py`: the tables of a page are those of its results."""

import json
import tarfile
from pathlib import Path

import pytest

from benchmarks.study_tables import KINDS, PLACE, main, written
from ddg_hf.errors import UserError

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def side(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


CORRELATION = {"measure": "gradient_cosine", "correlation": side(-0.2, -0.3, -0.001), "p_holm": 0.012}
SIZE = {"dpc": 5, "points": 1, "num_sets": 1200, "num_queries": 30}
ROW = {"gradient_cosine": None, "label_consistency": 0.5, "copies": 1.0, "learners": {}}
SMALL = {
    "num_queries": 300,
    "transfer": {"raw": [CORRELATION | {"num_sets": 60, "num_groups": 6}], "calibrated": []},
    "ranks": {
        "raw": [{"method": "ddg", "mean_rank": 1}, {"method": "balanced", "mean_rank": 2}],
        "calibrated": [
            {"method": "balanced", "mean_rank": 1.25, "num_settings": 4},
            {"method": "ddg", "mean_rank": 1.75, "num_settings": 2},
        ],
    },
    "power": {"raw": [SIZE | {"sets_with_these_queries": None, "queries_with_these_sets": 2000}], "calibrated": []},
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
    assert "| balanced random | 5 | 30 | 90.0 [85.0, 95.1] | - |" in once
    assert "chosen by likelihood" not in once  # it has no result in context


def test_a_difference_is_turned_around_with_its_limits(tmp_path):
    assert "| DDG | +1.0 [-2.0, +3.0]* |" in page_of(tmp_path, "less balanced raw")
    assert "| balanced random | -1.0 [-3.0, +2.0]* |" in page_of(tmp_path, "less ddg raw")


def test_sets_chosen_by_likelihood_are_compared_with_the_others_of_their_method(tmp_path):
    assert "| DDG, chosen by likelihood | +2.0 [-1.0, +5.0] |" in page_of(tmp_path, "less ddg raw")


def test_a_grid_has_a_column_for_each_number(tmp_path):
    page = page_of(tmp_path, "grid raw")
    assert "| method | sets | 5 per class |" in page and "| balanced random | 30 | 90.0 [85.0, 95.1] |" in page
    cosine = {"gradient_cosine": {"mean": 0.8765}, "tokens_per_demonstration": 20.4}
    rows = [
        ROW | cosine | {"method": "ddg", "dpc": n, "num_sets": 5, "icl": {"raw": side(0.9, 0.8, 1)}} for n in (1, 5)
    ]
    zero = ROW | {"method": "zero_shot", "dpc": 0, "num_sets": 1, "icl": {"raw": side(0.5, 0.4, 0.6)}}
    (tmp_path / "two.json").write_text(json.dumps({"rows": [zero, *rows]}))
    page = written("<!-- table: two grid raw -->\n<!-- end --><!-- table: two measured -->\n<!-- end -->", tmp_path)
    assert "| zero-shot | 1 | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] |" in page
    assert "| with 1, 5 per class |" in page
    assert "| DDG | 0.876 / 0.876 | 50 / 50 | 100 / 100 | - / - | 20 / 20 | - / - | - / - |" in page
    with pytest.raises(UserError, match="raw or calibrated"):
        page_of(tmp_path, "grid learner:tiny")


def test_what_is_not_measured_yet_has_no_value(tmp_path):
    icl = {"icl": {"raw": side(0.9, 0.8, 1)}, "learners": {}}
    rows = [
        icl | {"method": "ddg", "dpc": 1, "num_sets": 5, "gradient_cosine": {"mean": 0.8765}},
        icl | {"method": "ddg", "dpc": 5, "num_sets": 5, "gradient_cosine": None},
        icl | {"method": "balanced", "dpc": 1, "num_sets": 5},
    ]
    (tmp_path / "part.json").write_text(json.dumps({"rows": rows}))
    page = written("<!-- table: part measured -->\n<!-- end -->", tmp_path)
    assert "| DDG | 0.876 / - | - / - | - / - | - / - | - / - | - / - | - / - |" in page and "balanced" not in page


def test_costs_are_those_of_one_number_of_rows(tmp_path):
    cost = {
        "train_seconds": 1000.4,
        "generate_seconds": 20,
        "evaluate_seconds": 3,
        "peak_memory_mb": 4300,
        "flops": None,
    }
    row = {"icl": {"raw": side(0.9, 0.8, 1)}, "cost": cost}
    rows = [row | {"method": "zero_shot", "dpc": 0}, *(row | {"method": "ddg", "dpc": dpc} for dpc in (1, 5))]
    (tmp_path / "dear.json").write_text(json.dumps({"rows": rows}))
    page = written("<!-- table: dear costs 5 -->\n<!-- end -->", tmp_path)
    assert page.count("| 1,000 | 20 | 3 | 4.2 | - |") == 2 and "| with 5 per class | training, s |" in page


def test_ranks_have_the_best_calibrated_method_first(tmp_path):
    assert "| balanced random | 1.2 | 2.0 | 4 |\n| DDG | 1.8 | 1.0 | 2 |" in page_of(tmp_path, "ranks")


def test_pairs_are_of_one_method_with_each_other(tmp_path):
    page = page_of(tmp_path, "pairs ddg 5")
    assert "| DDG less | raw |" in page and "| balanced random | +1.0 [-2.0, +3.0]* |" in page
    assert "| DDG, chosen by likelihood | -2.0 [-5.0, +1.0] |" in page
    for kind in ("pairs ddg 7", "pairs dgd 5", "pairs ddg five"):
        with pytest.raises(UserError, match="is compared with others"):
            page_of(tmp_path, kind)


def test_several_studies_have_a_row_each(tmp_path):
    names = ("small", "sst2")
    for name in names:
        (tmp_path / f"{name}.json").write_text(json.dumps(SMALL))
    page = written("<!-- table: small,sst2 tasks ddg raw -->\n<!-- end -->", tmp_path)
    differences = "+1.0 [-2.0, +3.0]* | -2.0 [-5.0, +1.0]"
    assert f"| small | 5 | {differences} |\n| SST-2 | 5 | {differences} |" in page
    for kind, match in (("tasks ddg rwa", "no measure 'rwa'"), ("tasks dgd raw", "no method 'dgd' .* in small")):
        with pytest.raises(UserError, match=match):
            written(f"<!-- table: small,sst2 {kind} -->\n<!-- end -->", tmp_path)
    with pytest.raises(UserError, match="only 'tasks' and 'matching' take several"):
        written("<!-- table: small,sst2 accuracy -->\n<!-- end -->", tmp_path)


def test_the_matching_has_a_row_for_each_student_and_seed(tmp_path):
    after = {"gradient_cosine": 0.85, "real_gradient_cosine": 0.94, "exchanged_gradient_cosine": None, "nll": 3.456}
    after |= {"label_consistency": 0.7801, "malformed_rate": 0.0}
    before = after | {"gradient_cosine": 0.8, "nll": None}
    rows = [
        {"student": "ema", "seed": 0, "steps": 60, "before": before, "after": after},
        {"student": "shared", "seed": 1, "steps": 60, "before": None, "after": after},
    ]
    for name, matching in (("cr", rows[:1]), ("mine", rows[1:]), ("none", [])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": [], "matching": matching}))
    page = written("<!-- table: cr,mine matching -->\n<!-- end -->", tmp_path)
    levels = "0.940"  # under other labels nothing was measured, so there is no such column
    assert f"| CR | DDG, seed 0 | 0.800 to 0.850 | {levels} | 78.0 to 78.0 | - to 3.46 | 0.0 to 0.0 |" in page
    assert f"| mine | DiLM, seed 1 | - to 0.850 | {levels} | - to 78.0 | - to 3.46 | - to 0.0 |" in page
    with pytest.raises(UserError, match="no matching was evaluated in none"):
        written("<!-- table: none matching -->\n<!-- end -->", tmp_path)


def test_learners(tmp_path):
    assert "| DDG, chosen by likelihood | 5 | 50.0 [40.0, 60.0] |" in page_of(tmp_path, "learners")


@pytest.mark.parametrize("kind", ["nothing", "less balanced", "accuracy raw"])
def test_mistakes_are_named(tmp_path, kind):
    with pytest.raises(UserError, match="no such table"):
        page_of(tmp_path, kind)
    with pytest.raises(UserError, match="is missing"):
        written("<!-- table: other accuracy -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize(("kind", "match"), [("less balancd raw", "no method"), ("less balanced rwa", "no measure")])
def test_a_name_that_is_not_in_the_results(tmp_path, kind, match):
    with pytest.raises(UserError, match=match):
        page_of(tmp_path, kind)


def test_a_place_without_an_end_swallows_nothing(tmp_path):
    with pytest.raises(UserError, match="has no '<!-- end -->'"):
        written("<!-- table: small accuracy -->\nprose\n<!-- table: small learners -->\n<!-- end -->", tmp_path)


def test_transfer_and_sizes(tmp_path):
    page = page_of(tmp_path, "transfer", "sizes")
    assert "| gradient cosine | 60 (6) | -0.20 [-0.30, 0.00], p (Holm) 0.012 | - |" in page.replace("+0.00", "0.00")
    assert "| raw | 5 | 1 | 1,200 sets and 30 queries | none is enough | 2,000 queries |" in page


def test_check_names_what_would_change(tmp_path, capsys, monkeypatch):
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    (tmp_path / "page.md").write_text("<!-- table: small accuracy -->\nold\n<!-- end -->\n")
    argv = ["study_tables.py", str(tmp_path / "page.md"), str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*argv, "--check"])
    assert main() == 1 and "has another table small accuracy" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", argv)
    assert main() == 0 and "90.0 [85.0, 95.1]" in (tmp_path / "page.md").read_text()
    monkeypatch.setattr("sys.argv", [*argv, "--check"])
    assert main() == 0 and capsys.readouterr().err == ""


def test_the_tables_of_the_study_are_those_of_its_results():
    page = (RESULTS / "study_cpu.md").read_text(encoding="utf-8")
    kinds = {match["kind"].split()[0] for match in PLACE.finditer(page)}
    assert {"accuracy", "less", "transfer"} <= kinds <= set(KINDS)
    assert page.count("<!-- table:") == len(PLACE.findall(page))
    assert written(page, RESULTS / "study_cpu") == page, "run benchmarks/study_tables.py"


@pytest.mark.parametrize("path", sorted((RESULTS / "study_cpu").glob("*.json")), ids=lambda path: path.stem)
def test_what_the_tables_are_made_from_is_in_the_archive(path):
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    with tarfile.open(path.with_suffix(".tar.gz")) as archive:
        names = archive.getnames()
    for row in rows:
        evaluated = f"/dpc_{row['dpc']}/results.json" if row["dpc"] else "/results.json"
        kinds = {"icl": evaluated} | ({"measure": "/measures.json"} if row["gradient_cosine"] else {})
        for kind, end in kinds.items():
            start = f"cells/{kind}/{row['method']}/"
            assert any(name.startswith(start) and name.endswith(end) for name in names), (kind, row["method"], end)
