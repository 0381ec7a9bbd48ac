# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf evaluate-icl` from arguments to files, on the toy task with a tiny model."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ddg_hf.cli import run
from ddg_hf.configs import RecipeParser
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import ICLEvaluator
from recipes.evaluate_icl import main
from tests.evaluation.icl.helpers import make_model

LABELS = ("praise", "complaint", "refund", "delivery", "cancellation", "question")


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
    assert (tmp_path / "out" / "metadata.json").is_file() and not (tmp_path / "out" / ".partial").exists()
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert metadata["stage"] == "evaluate-icl" and metadata["arguments"]["dpc"] == [1, 2]
    assert "validation" in metadata["data_fingerprint"]
    printed = capsys.readouterr().out
    for prefix in ("", "contextual_", "calibrated_"):
        assert f"{100 * results['aggregates'][0][f'{prefix}accuracy']['mean']:.1f} [" in printed


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
    folder = tmp_path / "distilled" / "dpc_2"
    folder.mkdir(parents=True)
    for number in range(3):
        rows = [{"text": f"{label} {i}", "labels": k} for k, label in enumerate(LABELS) for i in range(2)]
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


@pytest.mark.parametrize("kind, sets", [("zero_shot", 1), ("random", 2), ("k_centers", 2), ("topk", 1)])
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
        (["--model", "baichuan"], "use qwen"),
        (["--instruction", "x", "--prompt_template", "{{ text }}"], "{{ label }}"),
        (["-c", "many"], "--context_length must be a number of tokens"),
        (["-c", "40"], "even without demonstrations"),
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


@pytest.mark.parametrize("source", ["balanced", "random"])
def test_context_length_alone_shows_what_fits(source, tmp_path, arguments):
    assert main([*arguments, "-c", "1k", "--demonstrations", source]) == 0
    results, _ = read(tmp_path / "out")
    (entry,) = results["aggregates"]
    assert entry["dpc"] == entry["rounds"] >= 1 and entry["dropped_rounds"] == 0
    assert results["context_length"] == 1024
    tokens = [row["prefix_tokens"] for row in results["runs"]]
    # another round, of which each demonstration has less than 60 tokens, does not fit
    assert max(tokens) <= 1024 < max(tokens) + (len(LABELS) + 1) * 60


def test_rounds_that_do_not_fit_are_dropped_and_counted(tmp_path, arguments, capsys):
    assert main([*arguments, "--round", "4", "-c", "800"]) == 0
    results, _ = read(tmp_path / "out")
    rows = results["runs"]
    assert all(1 <= row["rounds_shown"] < 4 for row in rows)
    assert all(row["rounds_shown"] + row["dropped_rounds"] == 4 for row in rows)
    (entry,) = results["aggregates"]
    assert entry["rounds"] == 4 and entry["dropped_rounds"] == sum(row["dropped_rounds"] for row in rows)
    assert f"dpc 4: {entry['dropped_rounds']} rounds dropped in 2 prompts" in capsys.readouterr().out


def test_argmax_predicts_what_likelihood_does(tmp_path, arguments):
    assert main([*arguments, "--dpc", "1", "--scoring", "argmax", "--instruct", "--order_by", "sorted"]) == 0
    results, predictions = read(tmp_path / "out")
    assert (results["scoring"], results["instruct"], results["order_by"]) == ("argmax", True, "sorted")
    assert predictions["logprobs"].isna().all()
    main([*arguments, "--dpc", "1", "--instruct", "--order_by", "sorted", "--overwrite"])
    assert predictions["prediction"].equals(read(tmp_path / "out")[1]["prediction"])


def test_chat_template_of_the_model(tmp_path, arguments, tiny_tokenizer, model_dir):
    assert run(main, [*arguments, "--dpc", "1", "--chat", "user"]) == 2
    tiny_tokenizer.chat_template = "{% for m in messages %}{{ m.role }}>{{ m.content }}<eos>{% endfor %}assistant>"
    tiny_tokenizer.save_pretrained(model_dir)
    found = []
    for chat in ("none", "user", "turns"):
        assert main([*arguments, "--dpc", "1", "--chat", chat, "--overwrite"]) == 0
        results, predictions = read(tmp_path / "out")
        assert results["chat"] == chat
        found.append(np.stack(predictions["logprobs"]))
    assert np.abs(found[0] - found[1]).max() > 1e-3 and np.abs(found[1] - found[2]).max() > 1e-3


def test_vllm(tmp_path, arguments, model_dir, monkeypatch):
    """Its place is taken by a backend that does the same with transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ddg_hf.evaluation.icl import vllm_backend
    from ddg_hf.evaluation.icl.transformers_backend import TransformersBackend

    class Backend(TransformersBackend):
        def __init__(self, model, dtype, revision):
            assert (model, dtype, revision) == (str(model_dir), "float32", "main")
            super().__init__(AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model))

    monkeypatch.setattr(vllm_backend, "VLLMBackend", Backend)
    assert main([*arguments, "--dpc", "1", "--vllm"]) == 0
    results, with_vllm = read(tmp_path / "out")
    assert (results["backend"], results["dtype"]) == ("vllm", "float32")
    assert main([*arguments, "--dpc", "1", "--overwrite"]) == 0
    assert read(tmp_path / "out")[1]["prediction"].equals(with_vllm["prediction"])


# The reference's command line


def test_command_line_of_the_reference(tmp_path, model_dir, monkeypatch, capsys):
    """Word for word, with another task and model behind the names."""
    monkeypatch.chdir(tmp_path)
    seen = []

    def load(name, model_arguments):
        seen.append(name)
        return original(str(model_dir), model_arguments)

    from ddg_hf.models import loading

    original = loading.load_causal_lm
    monkeypatch.setattr(loading, "load_causal_lm", load)
    assert main("--task toy --round 2 -m qwen --test_number 8".split()) == 0
    assert seen == ["Qwen/Qwen2.5-7B"]
    results, predictions = read(tmp_path / "runs" / "toy" / "icl_qwen_balanced_r2")
    assert results["model"] == "Qwen/Qwen2.5-7B" and len(predictions) == 5 * 8
    assert "'qwen' is Qwen/Qwen2.5-7B" in capsys.readouterr().out
    assert main("--task toy -c 1k -m qwen --test_number 8 --instruct -k KEY".split()) == 0
    found = tmp_path / "runs" / "toy" / "icl_qwen_balanced_c1024_instruct"
    assert "KEY" not in (found / "metadata.json").read_text() + (found / "results.json").read_text()


def test_reference_command_line_parses_for_banking77(monkeypatch):
    class Parsed(Exception):
        pass

    original = RecipeParser.parse

    def parse(self, argv=None):
        raise Parsed(original(self, argv))

    monkeypatch.setattr(RecipeParser, "parse", parse)
    with pytest.raises(Parsed) as parsed:
        main("--task banking77 --round 5 -m qwen --test_number 500 -c 2k --instruct -k KEY".split())
    data, model, _, arguments, run_arguments = parsed.value.args[0]
    assert (data.task, model.model, arguments.rounds, arguments.test_number) == ("banking77", "qwen", 5, 500)
    assert (arguments.context_length, arguments.instruct, arguments.api_key) == (2048, True, "KEY")
    assert "KEY" not in repr(parsed.value.args[0])
    assert run_arguments.output_dir is None


# A run that is stopped


def stop_after(number, monkeypatch):
    """Makes the evaluator stop like Ctrl-C after `number` jobs; returns the list of jobs evaluated."""
    original, calls = ICLEvaluator.evaluate, []

    def evaluate(self, demonstrations, queries, progress=None):
        if len(calls) == number:
            raise KeyboardInterrupt
        calls.append(demonstrations)
        return original(self, demonstrations, queries, progress)

    monkeypatch.setattr(ICLEvaluator, "evaluate", evaluate)
    return calls


def without_seconds(results):
    text = json.dumps(results)
    return re.sub(r'"seconds(_per_query)?": [\d.e-]+', "", text)


def test_stopped_run_goes_on_with_the_same_results(tmp_path, arguments, monkeypatch, capsys):
    command = [*arguments, "--dpc", "1", "2", "--orders", "2"]
    with monkeypatch.context() as patch:
        assert len(stop_after(3, patch)) == 0
        assert run(main, command) == 130
    assert len(list((tmp_path / "out" / ".partial").rglob("*.parquet"))) == 3
    assert not (tmp_path / "out" / "results.json").exists()
    calls = stop_after(99, monkeypatch)
    assert main(command) == 0
    assert len(calls) == 5 and "3 of 8 jobs are done" in capsys.readouterr().out
    stopped = read(tmp_path / "out")
    assert main([*command, "--overwrite"]) == 0
    whole = read(tmp_path / "out")
    assert without_seconds(stopped[0]) == without_seconds(whole[0])
    assert Path(tmp_path / "out" / "predictions.parquet").is_file()
    for name in stopped[1].columns:
        assert list(map(str, stopped[1][name])) == list(map(str, whole[1][name])), name


def test_other_arguments_do_not_find_what_is_done(tmp_path, arguments, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        assert run(main, [*arguments, "--dpc", "1"]) == 130
    calls = stop_after(99, monkeypatch)
    assert main([*arguments, "--dpc", "1", "--seed", "3", "--overwrite"]) == 0
    assert len(calls) == 2
    assert not (tmp_path / "out" / ".partial").exists()


def test_old_results_stay_whole_until_there_are_new_ones(tmp_path, arguments, monkeypatch):
    main([*arguments, "--dpc", "1"])
    before = (tmp_path / "out" / "results.json").read_bytes()
    stop_after(1, monkeypatch)
    assert run(main, [*arguments, "--dpc", "1", "--seed", "3", "--overwrite"]) == 130
    assert (tmp_path / "out" / "metadata.json").is_file()
    assert (tmp_path / "out" / "results.json").read_bytes() == before
