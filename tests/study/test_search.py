# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/distillation_search.py` and `selection_search.py`: what is tried on validation rows."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.distillation_search import distilled, lend
from benchmarks.selection_search import WAYS, check_made, choose
from ddg_hf.cli import main
from ddg_hf.errors import UserError
from ddg_hf.generation import Candidates
from tests.study.conftest import OPTIONS, write_config

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "faster": {"distill": {"learning_rate": 1e-2}},
    "lm_only": None,
    "cold": {"distill": None, "generate": {"sampling_temperature": 0.5}},
    "longer": {"distill": None, "pretrain": {"max_steps": 35}},
}


@pytest.fixture(scope="module")
def search(tmp_path_factory, model_dir):
    """A study with a pretrained generator, a search that starts from it, and what that printed."""
    path = tmp_path_factory.mktemp("search")
    options = OPTIONS | {
        "distill": OPTIONS["distill"] | {"probe_samples": 4, "eval_on_start": True, "logging_steps": 1}
    }
    few = {"methods": ["lm_only"], "dpc": [1], "learner_dpc": [1]}
    config = write_config(path / "study.yaml", model=model_dir, options=options, **few)
    assert (
        main(
            ["study", "--config", str(config), "--training_seeds", "1", "--split", "validation"]
            + ["--output_dir", str(path / "study")]
        )
        == 0
    )
    command = [sys.executable, str(ROOT / "benchmarks" / "distillation_search.py"), "--study", str(path / "study")]
    command += ["--config", str(config), "--output_dir", str(path / "search")]
    command += "--dpc 1 2 --num_sets 2 --test_number 12 --learner_dpc 1".split()
    command += ["--less", "lm_only", str(path / "study" / "cells" / "icl" / "lm_only")]
    done = subprocess.run([*command, "--settings", json.dumps(SETTINGS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path, command, {entry["setting"]: entry for entry in json.loads(done.stdout)["settings"]}


def test_every_setting_is_measured(search):
    _, _, found = search
    assert list(found) == list(SETTINGS)
    for entry in found.values():
        assert [row["dpc"] for row in entry["sets"]] == [1, 2] and entry["sets"][0]["num_sets"] == 2
        assert 0 <= entry["sets"][0]["calibrated"]["mean"] <= 1 and entry["sets"][0]["gradient_cosine"]["mean"]
    assert all(found[name]["distillation"] is None for name in ("lm_only", "cold", "longer"))
    assert found["cold"]["sets"] != found["lm_only"]["sets"] != found["longer"]["sets"]
    first, last = (found["faster"]["distillation"][when] for when in ("first", "last"))
    assert (first["step"], last["step"]) == (0, 2) and first["eval_nll"] != last["eval_nll"]
    assert 0 <= last["eval_malformed_rate"] <= 1 and found["faster"]["distillation"]["synthetic_nll"]["2"] > 0


def test_settings_are_compared_with_others_and_with_studies(search):
    path, _, found = search
    base = str(path / "study" / "cells" / "icl" / "lm_only")
    # The study has validation rows and one row per class; "faster" comes before "lm_only".
    assert [(row["less"], row["dpc"]) for row in found["lm_only"]["differences"]] == [(base, 1)] * 2
    rows = {(row["less"], row["dpc"], row["prediction"]): row for row in found["cold"]["differences"]}
    assert {(less, dpc) for less, dpc, _ in rows} == {("lm_only", 1), ("lm_only", 2), (base, 1)}
    for i, dpc in enumerate((1, 2)):
        row = rows["lm_only", dpc, "calibrated"]
        expected = [found[name]["sets"][i]["calibrated"]["mean"] for name in ("cold", "lm_only")]
        assert row["mean"] == pytest.approx(expected[0] - expected[1]) and row["low"] <= row["mean"] <= row["high"]
    assert not any(entry["failed"] for entry in found.values())


def test_a_setting_that_fails_is_a_finding(search):
    path, command, _ = search
    settings = {"broken": {"distill": None, "generate": {"sampling_temperature": 99.0, "max_sampling_rounds": 1}}}
    done = subprocess.run([*command, "--settings", json.dumps(settings)], capture_output=True, text=True)
    assert done.returncode == 2 and "'lm_only' is no setting" in done.stderr
    command = [word for word in command if word not in ("--less", "lm_only")]
    done = subprocess.run([*command[:-1], "--settings", json.dumps(settings)], capture_output=True, text=True)
    (entry,) = json.loads(done.stdout)["settings"]
    assert done.returncode == 1 and entry["sets"] == entry["differences"] == []
    assert "malformed" in entry["failed"]["sets/lm_only/seed_0"]


def test_the_pretrained_generator_is_that_of_the_study(search):
    path, _, _ = search
    records = [path / name / "state" / "pretrain" / "seed_0.json" for name in ("study", "search/faster")]
    assert records[0].read_text() == records[1].read_text()
    trained = {name for name in SETTINGS if (path / "search" / name / "logs" / "pretrain").exists()}
    assert trained == {"longer"}


def test_a_study_without_a_generator_is_named(search, tmp_path):
    _, command, _ = search
    command[command.index("--study") + 1] = str(tmp_path)
    done = subprocess.run([*command, "--settings", "{}"], capture_output=True, text=True)
    assert done.returncode == 2 and "has no pretrain/seed_0" in done.stderr


def test_ways_of_choosing():
    """As many of each label as asked for, of the first `ratio` times as many; filtered, only those of the label."""
    texts = [[(f"{name} {'x' * i}",) for i in range(12)] for name in "ab"]
    pools = [(Candidates(rows, [float(i % 7) for i in range(12)]), [i % 3 > 0 for i in range(12)]) for rows in texts]
    chosen = {}

    def embed(rows):
        return np.array([[len(row[0]), len(row[0]) ** 2] for row in rows], dtype=float)

    for way, (selection, filtered) in WAYS.items():
        rows = choose(pools, way, 2, 3, 0, 4.0, embed)
        places = [[len(row.texts[0]) - 2 for row in rows if row.label == label] for label in (0, 1)]
        assert [len(set(ones)) for ones in places] == [2, 2] and max(map(max, places)) < 8, "of 4 x 2 texts"
        assert {row.set for row in rows} == {3} and all(row.texts[0][0] == "ab"[row.label] for row in rows)
        assert not filtered or all(i % 3 for ones in places for i in ones)
        chosen[way] = sorted(places[0])
        if selection == "generator_loss":
            assert chosen[way] == ([1, 7] if filtered else [0, 7]), "the most likely ones"
    assert len(set(map(tuple, chosen.values()))) >= 4


def test_a_filter_that_leaves_too_few_is_a_mistake():
    pools = [(Candidates([("a",)] * 12, [0.0] * 12), [True] * 2 + [False] * 10)]
    with pytest.raises(UserError, match="only 2 texts of label 0 are left for 3; raise --over_sample_ratio"):
        choose(pools, "random_filtered", 3, 0, 0, 4.0, None)


def test_options_that_are_missing(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "selection_search.py"), "--task", "toy"]
    done = subprocess.run([*command, "--dpc", "1"], capture_output=True, text=True)
    assert done.returncode == 2 and "--model and --output_dir are needed" in done.stderr
    assert "Traceback" not in done.stderr


def test_sets_of_other_settings_are_not_taken_for_these(tmp_path):
    @dataclasses.dataclass
    class Arguments:
        task: str = "toy"
        dataset: str | None = None
        generator: str = "g"
        learner: str = "l"
        dpc: tuple = (1,)
        num_sets: int = 3
        over_sample_ratio: float = 2.0
        seed: int = 1

    made = dataclasses.asdict(Arguments()) | {"dpc": [1]}
    (tmp_path / "metadata.json").write_text(json.dumps({"arguments": made}))
    check_made(tmp_path, [Arguments(dpc=[1])])
    for changed in ({"seed": 2}, {"num_sets": 4}, {"generator": "other"}):
        with pytest.raises(UserError, match=f"was made with --{next(iter(changed))} "):
            check_made(tmp_path, [Arguments(**{"dpc": [1]} | changed)])


def test_a_distillation_without_evaluations_or_cosine(tmp_path):
    state = tmp_path / "cells" / "distill" / "ema" / "seed_0" / "trainer_state.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"log_history": [{"step": 1, "synthetic_nll": 2.0}]}))
    assert distilled(tmp_path) == {"synthetic_nll": {1: 2.0}}
    state.write_text(json.dumps({"log_history": [{"step": 1, "eval_gradient_cosine": float("nan")}]}))
    assert json.loads(json.dumps(distilled(tmp_path), allow_nan=False))["last"]["eval_gradient_cosine"] is None


def test_a_generator_is_lent_whole_or_not_at_all(tmp_path):
    study, directory = tmp_path / "study", tmp_path / "search" / "setting"
    (study / "cells" / "pretrain" / "seed_0").mkdir(parents=True)
    (study / "state" / "pretrain").mkdir(parents=True)
    (study / "state" / "pretrain" / "seed_0.json").write_text("{}")
    with pytest.raises(FileNotFoundError):
        lend(study, directory)
    assert not list(directory.parent.iterdir())
    (study / "study.json").write_text("{}")
    lend(study, directory)
    lend(study, directory)  # as where two begin at once
    assert (directory / "cells" / "pretrain" / "seed_0").is_symlink() and len(list(directory.parent.iterdir())) == 1
