# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf rerank`: which sets are kept, what is asked for it, and mistakes that end in one line."""

import json

import numpy as np
import pytest

from ddg_hf import cli
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.transformers_backend import TransformersBackend
from ddg_hf.evaluation.icl_results import ICLRun
from ddg_hf.formats.directory import open_distilled
from recipes import rerank as recipe
from tests import tiny_models
from tests.evaluation.icl.fault_server import FaultServer, ModelAnswers, status
from tests.evaluation.predictions import make_prediction
from tests.test_export_recipe import TOY, write_sets

NUMBERS = (0, 2, 3, 7)


@pytest.fixture(scope="module")
def model():
    tokenizer = tiny_models.build_tiny_tokenizer(model_max_length=2048)
    return tiny_models.make_gpt2(len(tokenizer), n_positions=2048).eval(), tokenizer


@pytest.fixture
def world(tmp_path, model):
    """A directory with a language model and four sets of one row per class."""
    for part in model:
        part.save_pretrained(tmp_path / "model")
    write_sets(tmp_path / "sets", TOY, sizes=(1,), numbers=NUMBERS)
    return tmp_path


@pytest.fixture
def rerank(world, capsys):
    """Runs the command; returns its exit code and its two streams."""

    def run(*argv) -> tuple[int, str, str]:
        paths = ["--distilled", world / "sets", "--output_dir", world / "best"]
        options = ["--task", "toy", "--candidates", 2, "--test_number", 6, *paths, "--json", *argv]
        code = cli.main(["rerank", *map(str, options)])
        return code, *capsys.readouterr()

    return run


def test_the_best_of_each_group_is_kept_under_a_new_number(rerank, world):
    code, out, err = rerank("-m", world / "model")
    assert code == 0, err
    result = json.loads(out)
    scores = [result["scores"]["dpc_1"][str(number)] for number in NUMBERS]
    assert len(set(scores)) == 4 and max(scores) < 0
    expected = [NUMBERS[int(np.argmax(scores[:2]))], NUMBERS[2 + int(np.argmax(scores[2:]))]]
    assert result["kept"] == {"dpc_1": expected}
    before, after = (open_distilled(world / name).sets("dpc_1") for name in ("sets", "best"))
    assert [[row.texts for row in after[i]] for i in (0, 1)] == [[row.texts for row in before[n]] for n in expected]
    assert open_distilled(world / "best").metadata["scored_queries"] == 24
    assert not list(world.glob(".best*"))


def test_queries_without_content_are_not_scored(rerank, world, monkeypatch):
    scored, score = [], TransformersBackend.score

    def record(self, prompts, progress=None):
        scored.append(len(prompts.queries))
        return score(self, prompts, progress)

    monkeypatch.setattr(TransformersBackend, "score", record)
    assert rerank("-m", world / "model")[0] == 0
    assert scored == [6] * len(NUMBERS)


@pytest.mark.slow
def test_a_failed_query_names_the_set_and_is_asked_again(rerank, model, world):
    """The server refuses one prompt behind the second set, once."""
    refused = []

    def refuse(number, asked):
        if "text 2 0 0" in asked.text:
            refused.append(asked)
            return status(500) if len(refused) == 9 else None
        return None

    with FaultServer(ModelAnswers(*model), refuse) as server:
        options = ["-m", "served", "--base_url", server.url, "--max_retries", "0", "--concurrency", "1"]
        code, _, err = rerank(*options)
        assert code == 2 and not (world / "best").exists()
        error = err.splitlines()[-1]
        assert error.startswith("error: set 2 of dpc_1: 1 of 6 queries failed (query ")
        assert "simulated 500" in error and "start the same command again" in error
        asked = len(server.asked)
        code, out, err = rerank(*options)
        assert code == 0, err
        assert not any("N/A" in text for text in server.texts)
        first = [text for text in server.texts[asked:] if "text 0 0 0" in text]
        assert not first, "what was answered is not asked again"
    scores = json.loads(out)["scores"]["dpc_1"]
    local = json.loads(rerank("-m", world / "model", "--overwrite")[1])["scores"]["dpc_1"]
    assert scores == pytest.approx(local, abs=1e-4)


def test_choice_among_runs():
    logprobs = {3: [[-1.0, -2.0], [-2.0, -1.0]], 5: [[-1.0, -4.0], [-4.0, -1.0]]}
    runs = [
        ICLRun(2, 2, number, 0, 0, make_prediction([0, 1], logprobs_QK=np.array(values)))
        for number, values in logprobs.items()
    ]
    scores, kept = recipe.choose(runs, [0, 1], 2)
    assert list(scores) == [3, 5] and scores[5] > scores[3] and kept == [5]
    failed = np.array([False, True])
    values = np.array([[-1.0, -2.0], [np.nan, np.nan]])
    lost = make_prediction([0, -1], logprobs_QK=values, failed_Q=failed, failures=("query 1: no answer",))
    with pytest.raises(UserError, match=r"set 9 of dpc_2: 1 of 2 queries failed \(query 1: no answer\)"):
        recipe.choose([runs[0], ICLRun(2, 2, 9, 0, 0, lost)], [0, 1], 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "train"], "the candidates may hold the queries"),
        (["--split", "test"], "must not be chosen on the test split"),
        (["--candidates", "3"], "dpc_1 has 4 sets, which --candidates 3 does not divide"),
        (["--candidates", "1"], "--candidates must be at least 2"),
        (["--orders", "2"], "leave out --orders"),
        (["--scoring", "argmax"], "not by --scoring argmax"),
    ],
)
def test_mistakes(rerank, world, options, message):
    code, out, err = rerank("-m", world / "model", *options)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
