# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The server of transformers, for real, on loopback."""

import copy
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import ICLEvaluator, PromptTemplate
from ddg_hf.evaluation.icl.backend import Prompts
from ddg_hf.evaluation.icl.scoring import generate_labels
from ddg_hf.evaluation.icl.server_backend import ServerBackend
from ddg_hf.evaluation.icl.transformers_backend import TransformersBackend
from ddg_hf.models import offline
from tests.evaluation.icl.helpers import make_model
from tests.tiny_models import SENTENCES

pytest.importorskip("openai")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

PREFIX = "Classify each review.\n\nReview: a warm and funny film\nSentiment: positive\n\n"
TEXTS = ("the plot is dull", "an honest drama", "too long, too loud", "a gentle and moving story", "nothing works")
QUERIES = [f"Review: {text}\nSentiment:" for text in TEXTS]
LABELS = [" negative", " positive"]
CHAT_TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}assistant:"


@contextmanager
def transformers_serve(directory, log):
    """Starts a server for one model and yields the address of its API. What it prints goes to the file `log`."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(directory)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                    break
                except (urllib.error.URLError, ConnectionError):
                    assert server.poll() is None, log.read_text()[-2000:]
                    time.sleep(0.2)
            else:
                raise AssertionError(log.read_text()[-2000:])
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture(scope="module")
def served(tmp_path_factory, _tiny_tokenizer):
    """Address of the API and directory of a tiny model, whose own generation settings are not greedy."""
    directory = tmp_path_factory.mktemp("served") / "model"
    model = make_model("llama", _tiny_tokenizer)
    settings = {"do_sample": True, "temperature": 3.0, "top_k": 2, "repetition_penalty": 5.0}
    model.generation_config.update(**settings)
    model.save_pretrained(directory)
    tokenizer = copy.deepcopy(_tiny_tokenizer)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(directory)
    with transformers_serve(directory, directory.parent / "log") as url:
        yield url, directory


def load(directory):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype="float32").eval()
    return model, AutoTokenizer.from_pretrained(directory)


def test_plain_prompts_are_answered_as_in_this_process(served):
    url, directory = served
    backend = ServerBackend(url, str(directory))
    answers = backend.generate(Prompts(PREFIX, QUERIES, LABELS, "\n\n"), 12)
    assert backend.failures == []
    assert answers == generate_labels(*load(directory), PREFIX, QUERIES, 12)
    assert len(set(answers)) > 1


def test_chat_prompts_are_answered_as_in_this_process(served):
    url, directory = served
    model, tokenizer = load(directory)
    messages = [[{"role": "user", "content": PREFIX + query}] for query in QUERIES]
    texts = [tokenizer.apply_chat_template(m, tokenize=False, add_generation_prompt=True) for m in messages]
    backend = ServerBackend(url, str(directory))
    answers = backend.generate(Prompts("", QUERIES, ["negative", "positive"], "\n", messages=messages), 12)
    assert backend.failures == []
    assert answers == generate_labels(model, tokenizer, "", texts, 12)


def test_it_returns_no_prompt_log_probabilities(served):
    url, directory = served
    with pytest.raises(UserError, match="returns no prompt log-probabilities, pass --scoring generate"):
        ServerBackend(url, str(directory)).score(Prompts(PREFIX, QUERIES, LABELS, "\n\n"))


def test_another_model_is_refused_with_its_words(served):
    url, _ = served
    with pytest.raises(UserError, match="Server is pinned to"):
        ServerBackend(url, "another").generate(Prompts(PREFIX, QUERIES, LABELS, "\n\n"), 4)


@pytest.mark.parametrize("ending", ["", "/v2"])
def test_an_address_without_the_version(served, ending):
    url, directory = served
    with pytest.raises(UserError, match="404.*usually ends in /v1"):
        ServerBackend(url.removesuffix("/v1") + ending, str(directory)).generate(
            Prompts(PREFIX, QUERIES, LABELS, "\n\n"), 4
        )


@pytest.mark.nightly
def test_a_real_model_is_evaluated_as_in_this_process(monkeypatch, tmp_path):
    """
    Gemma 3 270M, where `ddg-hf models` has been run: the same answers, except that those of the server may go on,
    since the number of tokens that a label needs is a guess.
    """
    monkeypatch.delenv("DDG_HF_HOME")
    try:
        directory = offline.offline_model_path("gemma")
    except UserError as error:
        pytest.skip(str(error))
    template = PromptTemplate.from_task(get_task("sst2"))
    demonstrations = [((sentence,), i % 2) for i, sentence in enumerate(SENTENCES[:4])]
    queries = [(sentence,) for sentence in SENTENCES[4:]]
    expected = ICLEvaluator(TransformersBackend(*load(directory)), template, "generate").evaluate(
        demonstrations, queries
    )
    with transformers_serve(directory, tmp_path / "log") as url:
        backend = ServerBackend(url, str(directory), concurrency=2, timeout=300)
        found = ICLEvaluator(backend, template, "generate").evaluate(demonstrations, queries)
        with pytest.raises(UserError, match="--scoring generate"):
            ICLEvaluator(backend, template, "likelihood").evaluate(demonstrations, queries)
    assert backend.failures == [] and found.num_unparsable < len(queries)
    assert all(long.startswith(short) for long, short in zip(found.answers, expected.answers, strict=True))
    assert found.predictions_Q.tolist() == expected.predictions_Q.tolist()
