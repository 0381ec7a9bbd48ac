# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""All stages from the command line, on tiny models; and the files that they promise."""

import contextlib
import io
import json
import re

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from ddg_hf import cli
from recipes.demo import print_summary
from tests import tiny_models

SIZES = ["--pretrain_steps", "60", "--distill_steps", "3", "--train_steps", "2", "--test_number", "12", "--dpc", "2"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The output directory of a small `ddg-hf demo --json`, and its result in `result.json`."""
    model = tmp_path_factory.mktemp("model")
    tokenizer = tiny_models.build_tiny_tokenizer(model_max_length=4096)
    tiny_models.make_gpt2(len(tokenizer), n_positions=4096).save_pretrained(model)
    tokenizer.save_pretrained(model)
    output_dir = tmp_path_factory.mktemp("demo") / "run"
    options = ["--model", str(model), "--dtype", "float32", "--learner", "tiny", "--num_sets", "3", *SIZES]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert cli.main(["demo", *options, "--output_dir", str(output_dir), "--json"]) == 0
    (output_dir / "result.json").write_text(printed.getvalue())
    return output_dir


def test_its_result_is_the_summary_alone(demo):
    expected = {"command": "demo", "output_dir": str(demo), **json.loads((demo / "summary.json").read_text())}
    assert json.loads((demo / "result.json").read_text()) == expected


def test_the_summary_is_printed(demo, capsys):
    print_summary(json.loads((demo / "summary.json").read_text()), demo)
    out = capsys.readouterr().out
    assert out.startswith("toy: accuracy in % with 95 % interval; 3 sets of 2 per class, 12 queries\n")
    assert re.search(r"^  zero-shot +-( +[\d.]+ \[[\d., ]+\]){2}", out, re.MULTILINE)


def test_summary_has_a_row_for_every_method(demo):
    summary = json.loads((demo / "summary.json").read_text())
    assert [row["method"] for row in summary["rows"]] == [
        "zero-shot",
        "balanced random",
        "K-centers",
        "LM-only generator",
        "DDG",
    ]
    for row in summary["rows"]:
        for name in ("learner", "icl", "icl_calibrated"):
            value = row[f"{name}_accuracy"]
            if name == "learner" and row["method"] == "zero-shot":
                assert value is None and row["learner_interval"] is None
            else:
                low, high = row[f"{name}_interval"]
                assert 0 <= low <= value <= high <= 1
    assert set(summary["seconds"]) >= {"pretrain", "distill", "generate distilled", "ICL with DDG", "learner on DDG"}
    assert all(1 <= len(texts) <= 5 for texts in summary["generated_texts"].values())


def test_summary_repeats_the_evaluations(demo):
    rows = {row["method"]: row for row in json.loads((demo / "summary.json").read_text())["rows"]}
    for method, folder in (("DDG", "ddg"), ("K-centers", "k_centers")):
        for kind, key in (("icl", "icl_accuracy"), ("learner", "learner_accuracy")):
            results = json.loads((demo / f"{kind}_{folder}" / "results.json").read_text())
            correct = [run["num_correct"] / run["num_queries"] for run in results["runs"]]
            assert rows[method][key] == pytest.approx(sum(correct) / len(correct))
            assert len(correct) == 3
            predictions = pq.read_table(demo / f"{kind}_{folder}" / "predictions.parquet").to_pylist()
            hits = [row["prediction"] == row["reference"] for row in predictions]
            assert sum(hits) / len(hits) == pytest.approx(rows[method][key])


def test_distilled_sets_load_with_label_names(demo, tmp_path):
    loaded = load_dataset(str(demo / "distilled"), "dpc_2", split="train", cache_dir=str(tmp_path))
    names = loaded.features["label"].names
    assert len(loaded) == 3 * 2 * len(names)
    assert not any(name.isdigit() for name in names)
    for number in range(3):
        labels = [row["label"] for row in loaded if row["set"] == number]
        assert sorted(labels) == sorted([y for y in range(len(names))] * 2)


def test_generators_are_ordinary_checkpoints(demo):
    for stage in ("pretrain", "distill"):
        model = AutoModelForCausalLM.from_pretrained(demo / stage)
        tokenizer = AutoTokenizer.from_pretrained(demo / stage)
        assert model.get_input_embeddings().weight.shape[0] >= len(tokenizer)
        assert (demo / stage / "generation_config.json").is_file()
        assert (demo / stage / "trainer_state.json").is_file()
        assert not list((demo / stage).rglob("*.bin"))
        metadata = json.loads((demo / stage / "metadata.json").read_text())
        assert metadata["stage"] == stage
        assert {"eval_nll", "eval_label_consistency", "eval_probe_accuracy_on_real_rows"} <= set(metadata["metrics"])
    assert "eval_gradient_cosine" in metadata["metrics"]


def test_stages_record_where_the_data_came_from(demo):
    fingerprints = [
        json.loads((demo / stage / "metadata.json").read_text())["data_fingerprint"]
        for stage in ("pretrain", "distill", "distilled", "icl_ddg", "learner_ddg")
    ]
    assert all(found == fingerprints[0] for found in fingerprints)
    assert set(fingerprints[0]) == {"train", "validation", "test"}


def test_the_demo_ends_with_a_report(demo):
    pytest.importorskip("matplotlib")
    page = (demo / "report.html").read_text(encoding="utf-8")
    assert "DDG" in page and 'id="samples-data"' in page and 'id="differences"' in page
