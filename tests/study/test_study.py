# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf study` from its configuration to its results, on the toy task with tiny models."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from ddg_hf.cli import main
from ddg_hf.configs import DataArguments
from ddg_hf.errors import UserError
from tests.study.conftest import METHODS, OPTIONS, write_config


@pytest.fixture(scope="module")
def study(tmp_path_factory, model_dir):
    """The directory of a finished study with all methods."""
    path = tmp_path_factory.mktemp("study")
    config = write_config(path / "study.yaml", model=model_dir)
    assert main(["study", "--config", str(config), "--output_dir", str(path / "run"), "--num_workers", "2"]) == 0
    return path / "run"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_cell_is_done_and_recorded(study):
    plan = read(study / "study.json")
    assert {cell["state"] for cell in plan["cells"]} == {"done"}
    assert [method["name"] for method in plan["methods"]] == METHODS
    for cell in plan["cells"]:
        assert (study / "cells" / cell["name"] / "metadata.json").is_file()
        assert cell["seconds"] > 0 and cell["peak_memory_mb"] > 50 and cell["error"] is None
        assert (study / "logs" / f"{cell['name']}.txt").read_text().startswith(f"$ ddg-hf {cell['stage']} ")
    assert (study / "metadata.json").is_file()


def test_rows_repeat_what_the_evaluations_found(study):
    results = read(study / "results.json")
    assert results["missing"] == [] and results["num_queries"] == 12 and results["split"] == "test"
    rows = {(row["method"], row["dpc"]): row for row in results["rows"]}
    assert set(rows) == {("zero_shot", 0)} | {(name, n) for name in METHODS[1:] for n in (1, 2)}
    parts = [
        pq.read_table(study / "cells" / "icl" / "ddg" / f"seed_{s}" / "dpc_2" / "predictions.parquet").to_pandas()
        for s in (0, 1)
    ]
    for kind, column in (("raw", "prediction"), ("calibrated", "calibrated_prediction")):
        right = np.concatenate([(part[column] == part["reference"]).to_numpy() for part in parts])
        entry = rows["ddg", 2]["icl"][kind]
        assert entry["mean"] == pytest.approx(right.mean()) and entry["low"] <= entry["mean"] <= entry["high"]
    assert rows["ddg", 2]["num_sets"] == 4 and rows["ddg", 2]["num_training_seeds"] == 2
    assert rows["lm_only", 2]["num_sets"] == 2 and rows["topk", 1]["num_sets"] == 1
    assert set(rows["ddg", 2]["learners"]) == {"tiny"} and rows["ddg", 1]["learners"] == {}
    learner = read(study / "cells" / "learner" / "tiny" / "random" / "results.json")
    expected = {entry["dpc"]: entry["accuracy"]["mean"] for entry in learner["aggregates"]}
    assert rows["random", 2]["learners"]["tiny"]["mean"] == pytest.approx(expected[2])


def test_sets_are_measured(study):
    rows = {(row["method"], row["dpc"]): row for row in read(study / "results.json")["rows"]}
    for name in ("balanced", "gradient_selection", "balanced+likelihood"):
        assert rows[name, 2]["copies"] == 1.0 and rows[name, 2]["near_copies"] == 0.0
    for name in METHODS:
        measured = name not in ("zero_shot", "random", "topk")
        row = rows[name, 0 if name == "zero_shot" else 2]
        assert (row["gradient_cosine"] is not None) == measured
        if measured:
            assert -1 <= row["gradient_cosine"]["mean"] <= 1 and row["tokens_per_demonstration"] > 1
    chosen, drawn = rows["gradient_selection", 2], rows["balanced", 2]
    assert chosen["gradient_cosine"]["mean"] > drawn["gradient_cosine"]["mean"]


def test_what_the_matching_did_is_what_its_evaluations_say(study):
    found = read(study / "results.json")["matching"]
    assert [(row["student"], row["seed"], row["steps"]) for row in found] == [("ema", 0, 2), ("ema", 1, 2)]
    for row in found:
        log = read(study / "cells" / "distill" / "ema" / f"seed_{row['seed']}" / "trainer_state.json")["log_history"]
        evaluations = [entry for entry in log if "eval_gradient_cosine" in entry]
        for when, entry in zip(("before", "after"), evaluations, strict=True):
            assert row[when]["gradient_cosine"] == entry["eval_gradient_cosine"]
            assert row[when]["nll"] == entry["eval_nll"] > 0
            assert 0 <= row[when]["label_consistency"] <= 1


def test_costs_belong_to_their_method(study):
    rows = {(row["method"], row["dpc"]): row for row in read(study / "results.json")["rows"]}
    assert rows["balanced", 1]["cost"]["train_seconds"] is None
    assert rows["ddg", 1]["cost"]["train_seconds"] > rows["lm_only", 1]["cost"]["train_seconds"] > 0
    balanced, reranked = rows["balanced", 1]["cost"], rows["balanced+likelihood", 1]["cost"]
    assert reranked["generate_seconds"] > balanced["generate_seconds"] > 0


def test_operations_are_estimated_for_every_method(study):
    rows = {(row["method"], row["dpc"]): row["cost"]["flops"] for row in read(study / "results.json")["rows"]}
    assert all(rows.values())
    for method in ("random", "balanced", "lm_only", "ddg", "topk"):
        assert rows["zero_shot", 0] < rows[method, 1] < rows[method, 2]
    # What was trained is the same for all numbers of rows, so two rows more cost what their tokens do.
    assert rows["lm_only", 2] - rows["lm_only", 1] < rows["lm_only", 1] / 2
    assert rows["ddg", 1] > rows["lm_only", 1] > rows["balanced", 1]


def test_all_pairs_are_compared(study):
    results = read(study / "results.json")
    raw = [row for row in results["comparisons"] if row["measure"] == "raw" and row["dpc"] == 2]
    assert len(raw) == len(METHODS) * (len(METHODS) - 1) / 2
    rows = {(row["method"], row["dpc"]): row["icl"]["raw"]["mean"] for row in results["rows"]}
    rows["zero_shot", 2] = rows["zero_shot", 0]
    for row in raw:
        assert row["difference"]["mean"] == pytest.approx(rows[row["a"], 2] - rows[row["b"], 2])
        assert row["p_value"] <= row["p_holm"] <= 1
    assert {row["measure"] for row in results["comparisons"]} == {"raw", "calibrated", "learner:tiny"}
    ranks = results["ranks"]["raw"]
    assert len(ranks) == len(METHODS) - 1 and ranks == sorted(ranks, key=lambda row: row["mean_rank"])
    sizes = [(row["dpc"], row["points"]) for row in results["power"]["raw"]]
    assert sizes == [(dpc, points) for dpc in (1, 2) for points in (1, 3, 5)]
    assert {(row["a"], row["b"]) for row in results["power"]["raw"]} == {("ddg", "balanced")}
    assert results["transfer"] == {"raw": [], "calibrated": []}  # of two sets each, none can be said


def test_reranked_sets_are_candidates(study):
    metadata = read(study / "cells" / "sets" / "balanced+likelihood" / "metadata.json")
    for config, kept in metadata["kept"].items():
        scores = {int(number): score for number, score in metadata["scores"][config].items()}
        assert kept == [max((0, 1), key=scores.__getitem__), max((2, 3), key=scores.__getitem__)]
        candidates = pq.read_table(study / "cells" / "candidates" / "balanced+likelihood" / config / "train.parquet")
        ours = pq.read_table(study / "cells" / "sets" / "balanced+likelihood" / config / "train.parquet")
        theirs = candidates.to_pandas()
        for number, original in enumerate(kept):
            table = ours.to_pandas()
            rows = table[table["set"] == number]["text"].tolist()
            assert rows == theirs[theirs["set"] == original]["text"].tolist()
    assert metadata["scored_queries"] == 2 * 4 * 6


def test_a_finished_study_runs_nothing_again(study, tmp_path, model_dir, capsys):
    before = {path: path.stat().st_mtime_ns for path in study.rglob("metadata.json") if path.parent != study}
    config = write_config(tmp_path / "study.yaml", model=model_dir)
    assert main(["study", "--config", str(config), "--output_dir", str(study)]) == 0
    assert "0 of" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_finished_study_as_json(study, tmp_path, model_dir, capsys):
    config = write_config(tmp_path / "study.yaml", model=model_dir)
    assert main(["study", "--config", str(config), "--output_dir", str(study), "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    expected = {"command": "study", "output_dir": str(study), "failed": [], "missing": []}
    assert json.loads(out) == expected | {"rows": read(study / "results.json")["rows"]}
    assert "[" not in err


def test_the_plan_as_json(tmp_path, model_dir, capsys):
    config = small(tmp_path, model_dir, rates={"query": 2})
    options = ["--config", str(config), "--output_dir", str(tmp_path / "run"), "--plan", "true", "--json"]
    assert main(["study", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    plan = {entry.pop("command"): entry for entry in result["plan"]}
    assert (plan["evaluate-icl"]["done"], plan["evaluate-icl"]["methods"]) == (0, ["balanced"])
    assert plan["evaluate-icl"]["left_seconds"] == 2 * plan["evaluate-icl"]["work"]["query"]
    assert result["rows"] is None


def test_the_plan_runs_nothing(tmp_path, model_dir, capsys):
    config = write_config(tmp_path / "study.yaml", model=model_dir, rates={"query": 1, "pretrain_step": 2})
    assert main(["study", "--config", str(config), "--output_dir", str(tmp_path / "run"), "--plan", "true"]) == 0
    printed = capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert "60 pretrain steps" in printed and "2 min 00 s" in printed


def small(path, model_dir, **changes):
    return write_config(
        path / "study.yaml",
        **{"methods": ["balanced"], "dpc": [1], "training_seeds": 1, "seed_counts": None, "learner_dpc": None}
        | {"model": model_dir, "test_number": 4, **changes},
    )


def test_a_failed_cell_leaves_the_others_and_is_tried_again(tmp_path, model_dir, capsys):
    broken = dict(OPTIONS, **{"evaluate-learner": {"train_steps": 1, "num_seeds": 1, "learner_head": "nothing"}})
    out = tmp_path / "run"
    config = small(tmp_path, model_dir, options=broken)
    assert main(["study", "--config", str(config), "--output_dir", str(out)]) == 1
    assert "learner/tiny/balanced failed: " in capsys.readouterr().err
    states = {cell["name"]: cell for cell in read(out / "study.json")["cells"]}
    assert states["learner/tiny/balanced"]["state"] == "failed"
    assert "learner_head" in states["learner/tiny/balanced"]["error"]
    assert states["icl/balanced/dpc_1"]["state"] == "done"
    assert read(out / "results.json")["missing"] == ["learner/tiny/balanced"]
    assert not (out / "metadata.json").exists()
    stamp = (out / "cells" / "icl" / "balanced" / "dpc_1" / "metadata.json").stat().st_mtime_ns
    config = small(tmp_path, model_dir)
    assert main(["study", "--config", str(config), "--output_dir", str(out)]) == 0
    assert (out / "metadata.json").is_file()
    other = dict(OPTIONS, **{"evaluate-learner": {"train_steps": 3, "num_seeds": 1}})
    config = small(tmp_path, model_dir, options=other)
    assert main(["study", "--config", str(config), "--output_dir", str(out)]) == 2
    assert "learner/tiny/balanced were run with other settings" in capsys.readouterr().err
    assert main(["study", "--config", str(config), "--output_dir", str(out), "--overwrite", "true"]) == 0
    assert (out / "cells" / "icl" / "balanced" / "dpc_1" / "metadata.json").stat().st_mtime_ns == stamp
    record = read(out / "cells" / "learner" / "tiny" / "balanced" / "metadata.json")
    assert record["arguments"]["train_steps"] == 3


def test_more_demonstrations_and_methods_are_added(tmp_path, model_dir):
    out = tmp_path / "run"
    assert main(["study", "--config", str(small(tmp_path, model_dir)), "--output_dir", str(out)]) == 0
    done = out / "cells" / "icl" / "balanced" / "dpc_1"
    stamp, before = (done / "metadata.json").stat().st_mtime_ns, pq.read_table(done / "predictions.parquet")
    config = small(tmp_path, model_dir, dpc=[2, 1], methods=["zero_shot", "balanced"])
    assert main(["study", "--config", str(config), "--output_dir", str(out)]) == 0
    assert (done / "metadata.json").stat().st_mtime_ns == stamp
    rows = {(row["method"], row["dpc"]) for row in read(out / "results.json")["rows"]}
    assert rows == {("zero_shot", 0), ("balanced", 1), ("balanced", 2)}
    # the sets that the first predictions were made with are still the ones that are there
    sets = out / "cells" / "sets" / "balanced"
    argv = ["evaluate-icl", "--task", "toy", "--distilled", str(sets), "--dpc", "1", "--num_sets", "2"]
    argv += ["--model", model_dir, "--split", "test", "--test_number", "4", "--output_dir", str(tmp_path / "again")]
    assert main(argv) == 0
    assert pq.read_table(tmp_path / "again" / "predictions.parquet").equals(before)


def test_results_on_other_data_are_not_mixed(tmp_path, model_dir, study):
    copy = tmp_path / "run"
    shutil.copytree(study, copy)
    record = copy / "cells" / "icl" / "balanced" / "dpc_1" / "metadata.json"
    content = read(record)
    content["data_fingerprint"]["test"] = "0" * 64
    record.write_text(json.dumps(content))
    config = write_config(tmp_path / "study.yaml", model=model_dir)
    assert main(["study", "--config", str(config), "--output_dir", str(copy)]) == 2


def test_data_that_have_changed_are_noticed_before_anything_is_run(tmp_path, model_dir, study, monkeypatch, capsys):
    copy = tmp_path / "run"
    shutil.copytree(study, copy)
    before = {path: path.read_bytes() for path in copy.rglob("*.json")}
    load = DataArguments.load

    def changed(self, seed):
        spec, dataset = load(self, seed)
        dataset["train"] = dataset["train"].select(range(len(dataset["train"]) - 1))
        return spec, dataset

    monkeypatch.setattr(DataArguments, "load", changed)
    config = write_config(tmp_path / "study.yaml", model=model_dir, methods=[*METHODS, "herding"])
    assert main(["study", "--config", str(config), "--output_dir", str(copy)]) == 2
    assert "was run on other data than there are now (split 'train')" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in copy.rglob("*.json")} == before


def test_a_plan_is_written_beside_the_results_of_what_is_done(tmp_path, model_dir, study, capsys):
    copy = tmp_path / "run"
    shutil.copytree(study, copy)
    config = write_config(tmp_path / "study.yaml", model=model_dir, methods=["balanced", "herding"])
    assert main(["study", "--config", str(config), "--output_dir", str(copy), "--plan", "true", "--quiet"]) == 0
    states = {cell["name"]: cell["state"] for cell in read(copy / "study.json")["cells"]}
    assert states["icl/balanced/dpc_1"] == "done" and states["icl/herding/dpc_1"] == "waiting"
    assert {row["method"] for row in read(copy / "results.json")["rows"]} == {"balanced"}
    assert not (copy / "cells" / "sets" / "herding").exists()


def test_a_directory_with_other_files_is_left_alone(tmp_path, model_dir, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    config = small(tmp_path, model_dir)
    assert main(["study", "--config", str(config), "--output_dir", str(tmp_path / "mine")]) == 2
    assert "not a study" in capsys.readouterr().err


def test_a_study_that_is_done_needs_no_data(tmp_path, model_dir, study, monkeypatch, capsys):
    """As one that was copied from another machine."""
    copy = tmp_path / "run"
    shutil.copytree(study, copy)
    config = write_config(tmp_path / "study.yaml", model=model_dir)

    def missing(*_):
        raise UserError("no data")

    monkeypatch.setattr(DataArguments, "load", missing)
    argv = ["study", "--config", str(config), "--output_dir", str(copy)]
    assert main(argv) == 0
    assert main([*argv, "--num_sets", "3", "--overwrite", "true"]) == 2 and "no data" in capsys.readouterr().err


def test_data_that_cannot_be_loaded_are_said_once_before_anything_is_run(tmp_path, capsys):
    (tmp_path / "rows.csv").write_text("text,label\na,x\nb,y\n")
    argv = ["study", "--dataset", str(tmp_path / "rows.csv"), "--output_dir", str(tmp_path / "run")]
    assert main([*argv, "--methods", "balanced", "--model", "m", "--learner", "l"]) == 2
    assert capsys.readouterr().err.count("'text_columns' is missing") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "tset"}, "there is no split 'tset'. Did you mean 'test'?"),
        ({"dpc": [1, 5000]}, "training rows, fewer than --dpc 5000"),
        ({"options": {"measure": {"snapshotz": 2}}}, "measure: unknown argument '--snapshotz'. Did you mean"),
        ({"options": {"evaluate-icl": {"scoring": "guess"}}}, "evaluate-icl: "),
    ],
)
def test_what_the_last_command_would_find_is_found_before_the_first(changes, message, tmp_path, model_dir, capsys):
    config = small(tmp_path, model_dir, **changes)
    assert main(["study", "--config", str(config), "--output_dir", str(tmp_path / "run")]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line and not (tmp_path / "run").exists()


def test_one_query_is_enough_for_a_table(tmp_path, model_dir):
    config = small(tmp_path, model_dir, methods=["balanced", "self_generated"], test_number=1, learner_dpc=[1])
    options = ["--learner_test_number", "4", "--output_dir", str(tmp_path / "run")]
    assert main(["study", "--config", str(config), *options]) == 0
    assert read(tmp_path / "run" / "results.json")["power"] == {"raw": [], "calibrated": []}


def test_a_distillation_without_a_cosine_has_results(tmp_path, model_dir, study):
    """Where all texts of a label are malformed there is none."""
    copy = tmp_path / "run"
    shutil.copytree(study, copy)
    file = copy / "cells" / "distill" / "ema" / "seed_0" / "trainer_state.json"
    state = read(file)
    for entry in state["log_history"]:
        if "eval_gradient_cosine" in entry:
            entry["eval_gradient_cosine"] = float("nan")
    file.write_text(json.dumps(state))
    config = write_config(tmp_path / "study.yaml", model=model_dir)
    assert main(["study", "--config", str(config), "--output_dir", str(copy)]) == 0
    found = {row["seed"]: row for row in read(copy / "results.json")["matching"]}
    assert found[0]["after"]["gradient_cosine"] is None and found[1]["after"]["gradient_cosine"] is not None
