# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf evaluate-icl` from arguments to files, on the toy task with a tiny model."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from ddg_hf.cli import run
from ddg_hf.errors import UserError
from recipes.evaluate_icl import main
from tests.evaluation.icl.helpers import make_model


@pytest.fixture
def model_dir(tmp_path, tiny_tokenizer):
    path = tmp_path / "model"
    make_model("llama", tiny_tokenizer, max_position_embeddings=2048).save_pretrained(path)
    tiny_tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def arguments(tmp_path, model_dir):
    return [
        *("--task", "toy", "--model", str(model_dir), "--test_number", "13", "--num_sets", "2"),
        *("--output_dir", str(tmp_path / "out"), "--seed", "1"),
    ]


def read(path):
    results = json.loads((path / "results.json").read_text())
    return results, pq.read_table(path / "predictions.parquet").to_pandas()


def test_balanced_rows(tmp_path, arguments, capsys):
    assert main([*arguments, "--dpc", "1", "2", "--orders", "2"]) == 0
    results, predictions = read(tmp_path / "out")
    assert [(e["dpc"], e["rounds"], e["num_sets"], e["num_orders"]) for e in results["aggregates"]] == [
        (1, 1, 2, 2),
        (2, 2, 2, 2),
    ]
    assert len(results["runs"]) == 8 and len(predictions) == 8 * 13
    queries = predictions.groupby(["dpc", "set", "order"])["query"].apply(tuple)
    assert len(set(queries)) == 1
    assert predictions["reference"].iloc[:13].value_counts().max() <= 3
    assert results["dtype"] == "float32" and results["split"] == "validation"
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert metadata["stage"] == "evaluate-icl" and metadata["arguments"]["dpc"] == [1, 2]
    assert "validation" in metadata["data_fingerprint"]
    assert "batch-calibrated" in capsys.readouterr().out


def test_same_seed_same_results(tmp_path, arguments):
    arguments += ["--dpc", "1"]
    main(arguments)
    _, first = read(tmp_path / "out")
    main([*arguments, "--overwrite"])
    _, second = read(tmp_path / "out")
    assert first.drop(columns="logprobs").equals(second.drop(columns="logprobs"))
    main([*arguments, "--overwrite", "--seed", "2"])
    _, other = read(tmp_path / "out")
    assert not np.array_equal(first["query"], other["query"])


def test_orders_differ(tmp_path, arguments):
    main([*arguments, "--round", "2", "--orders", "2", "--num_sets", "1"])
    _, predictions = read(tmp_path / "out")
    logprobs = [np.stack(part["logprobs"]) for _, part in predictions.groupby("order")]
    assert np.abs(logprobs[0] - logprobs[1]).max() > 1e-3


def test_distilled_sets_and_generate(tmp_path, arguments):
    labels = ("praise", "complaint", "refund", "delivery", "cancellation", "question")
    folder = tmp_path / "distilled" / "dpc_2"
    folder.mkdir(parents=True)
    for number in range(3):
        rows = [{"text": f"{label} {i}", "labels": k} for k, label in enumerate(labels) for i in range(2)]
        (folder / f"dataset_{number}.json").write_text("\n".join(map(json.dumps, rows)))
    extra = ["--distilled", str(folder.parent), "--rounds", "1", "--scoring", "generate"]
    assert main([*arguments, *extra]) == 0
    results, predictions = read(tmp_path / "out")
    (entry,) = results["aggregates"]
    assert (entry["dpc"], entry["rounds"], entry["num_sets"]) == (2, 1, 2)
    assert entry["calibrated_accuracy"] is None and predictions["answer"].notna().all()
    with pytest.raises(UserError, match="3 rounds need 3 demonstrations"):
        main([*arguments, "--distilled", str(folder.parent), "--rounds", "3", "--overwrite"])
    with pytest.raises(UserError, match="--num_sets is 4, but dpc_2 has 3 sets"):
        main([*arguments, "--distilled", str(folder.parent), "--num_sets", "4", "--overwrite"])


@pytest.mark.parametrize("kind, sets", [("zero_shot", 1), ("random", 2), ("k_centers", 2)])
def test_other_demonstrations(kind, sets, tmp_path, arguments):
    assert main([*arguments, "--demonstrations", kind, "--dpc", "2", "--learner", "tiny"]) == 0
    results, _ = read(tmp_path / "out")
    assert results["aggregates"][0]["num_sets"] == sets
    assert results["demonstrations"] == kind


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--demonstrations", "balancd"], "Did you mean 'balanced'"),
        (["--demonstrations", "random", "--distilled", "x"], "exclude each other"),
        (["--split", "valid"], "Did you mean 'validation'"),
        (["--split", "train"], "both come from the training split"),
        (["--dpc", "0"], "--dpc must be"),
        (["--orders", "0"], "--orders must be at least 1"),
        (["--dpc", "100000"], "rows, but 100000 are needed"),
        (["--dpc", "2", "--rounds", "3"], "3 rounds need 3"),
        (["--dpc", "20"], "context is 2048"),
        (["--scoring", "guess"], "invalid choice"),
        (["--tset_number", "5"], "Did you mean 'test_number'"),
        (["--model", "/nowhere/at/all"], "cannot load"),
    ],
)
def test_mistakes_are_one_line(extra, message, tmp_path, arguments, capsys):
    assert run(main, [*arguments, *extra]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "out" / "results.json").exists()


def test_finished_run_is_kept(tmp_path, arguments):
    arguments += ["--dpc", "1"]
    main(arguments)
    before = (tmp_path / "out" / "results.json").read_bytes()
    with pytest.raises(UserError, match="already holds a finished run"):
        main(arguments)
    with pytest.raises(UserError, match="context is 2048"):  # not even with --overwrite: it fails before it begins
        main([*arguments, "--overwrite", "--dpc", "1", "20"])
    assert (tmp_path / "out" / "metadata.json").is_file()
    assert (tmp_path / "out" / "results.json").read_bytes() == before


def test_several_processes_are_refused(arguments, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="--num_processes 1"):
        main(arguments)
