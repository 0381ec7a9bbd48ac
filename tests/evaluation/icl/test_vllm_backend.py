# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
What is asked of vLLM and what is made of its answers, with a stand-in for the package that has the documented
interface (`LLM`, `SamplingParams`, `RequestOutput`) and computes with a tiny model. vLLM itself is not run here.
"""

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import vllm_backend
from ddg_hf.evaluation.icl.backend import Prompts
from ddg_hf.evaluation.icl.scoring import generate_labels, score_labels
from ddg_hf.evaluation.icl.vllm_backend import VLLMBackend
from tests.evaluation.icl.helpers import make_model, with_bos

PREFIX = "Classify each review.\n\nReview: a warm and funny film\nSentiment: positive\n\n"
QUERIES = [f"Review: {text}\nSentiment:" for text in ("the plot is dull", "an honest drama", "", "too long, too loud")]
LABELS = [" negative", " positive"]
NESTED = [" transfer", " transfer fee", " card"]
DIRECTORY = "a/directory"


@dataclass
class SamplingParams:
    """The fields that are used, with vLLM's defaults."""

    temperature: float = 1.0
    max_tokens: int | None = 16
    stop: list[str] = field(default_factory=list)
    prompt_logprobs: int | None = None
    detokenize: bool = True
    stop_token_ids: list[int] | None = None


class StandIn:
    """A package `vllm` with one model. Keeps what it is asked."""

    def __init__(self, model, tokenizer, context=128):
        self.model, self.tokenizer, self.context = model, tokenizer, context
        self.arguments, self.calls = {}, []

    def install(self, monkeypatch):
        module = ModuleType("vllm")
        module.LLM, module.SamplingParams = self.load, SamplingParams
        monkeypatch.setitem(sys.modules, "vllm", module)
        return self

    def load(self, model, **arguments):
        if model != DIRECTORY:
            raise OSError(f"{model} is not a model\nidentifier")
        self.arguments = arguments
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=self.context))
        return self

    def get_tokenizer(self):
        return self.tokenizer

    @torch.no_grad()
    def generate(self, prompts, sampling_params, use_tqdm=True):
        assert use_tqdm is False
        self.calls.append((prompts, sampling_params))
        return [self._answer(prompt["prompt_token_ids"], sampling_params) for prompt in prompts]

    def _answer(self, ids, params):
        new: list[int] = []
        logprobs_TV = self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        while len(new) < params.max_tokens:
            new.append(int(self.model(torch.tensor([ids + new])).logits[0, -1].argmax()))
            ends = {self.tokenizer.eos_token_id, *(params.stop_token_ids or [])}
            if new[-1] in ends or any(s in self.tokenizer.decode(new) for s in params.stop):
                break
        text = self.tokenizer.decode(new, skip_special_tokens=True) if params.detokenize else ""
        for stop in params.stop:
            text = text.split(stop)[0]
        prompt_logprobs = None
        if params.prompt_logprobs is not None:
            prompt_logprobs = [None]
            for token, row_V in zip(ids[1:], logprobs_TV[:-1], strict=True):
                best = int(row_V.argmax())
                entries = {id_: SimpleNamespace(logprob=float(row_V[id_])) for id_ in (token, best)}
                prompt_logprobs.append(entries)
        output = SimpleNamespace(text=text, token_ids=new)
        return SimpleNamespace(prompt_token_ids=ids, prompt_logprobs=prompt_logprobs, outputs=[output])


def prompts_of(continuations=LABELS, **options):
    return Prompts(PREFIX, QUERIES, continuations, "\n\nReview:", **options)


@pytest.fixture(params=["bare", "bos"])
def tokenizer(request, tiny_tokenizer):
    return with_bos(tiny_tokenizer) if request.param == "bos" else tiny_tokenizer


@pytest.fixture
def stand_in(tokenizer, monkeypatch):
    return StandIn(make_model("qwen2", tokenizer), tokenizer).install(monkeypatch)


def test_how_the_engine_is_made(stand_in):
    backend = VLLMBackend(DIRECTORY, dtype="bfloat16", revision="abc", context_length=64)
    assert stand_in.arguments == {
        "dtype": "bfloat16",
        "revision": "abc",
        "tokenizer_revision": "abc",
        "max_model_len": 64,
        "enable_prefix_caching": True,
        "seed": 0,
    }
    assert backend.context_length == 127 and backend.tokenizer is stand_in.tokenizer and backend.failures == []


@pytest.mark.parametrize("continuations", [LABELS, NESTED], ids=["plain", "nested"])
def test_scores_equal_those_of_the_same_model_in_this_process(stand_in, continuations, monkeypatch):
    monkeypatch.setattr(vllm_backend, "CHUNK", 5)  # two queries of two labels, or one of three
    done = []
    scores = VLLMBackend(DIRECTORY).score(prompts_of(continuations), progress=done.append)
    expected_QK = score_labels(
        stand_in.model, stand_in.tokenizer, PREFIX, QUERIES, continuations, terminator="\n\nReview:"
    )
    np.testing.assert_allclose(scores.logprobs_QK, expected_QK, atol=1e-4)
    assert done == ([2, 2] if continuations is LABELS else [1, 1, 1, 1])
    assert [len(prompts) for prompts, _ in stand_in.calls] == ([4, 4] if continuations is LABELS else [3] * 4)
    assert all(params == SamplingParams(0.0, 1, [], 1, False) for _, params in stand_in.calls)
    ids = [stand_in.tokenizer(f"a{label}", add_special_tokens=False)["input_ids"] for label in continuations]
    nested = any(a != b and b.startswith(a) for a in continuations for b in continuations)  # then newlines are scored
    assert scores.label_tokens_K.tolist() == [len(row) - 1 + nested for row in ids]
    np.testing.assert_array_equal(
        VLLMBackend(DIRECTORY).best(prompts_of(continuations)).labels_Q, expected_QK.argmax(axis=1)
    )


def test_answers_equal_those_of_the_same_model_in_this_process(stand_in):
    done = []
    answers = VLLMBackend(DIRECTORY).generate(prompts_of(), 12, progress=done.append)
    assert answers == generate_labels(stand_in.model, stand_in.tokenizer, PREFIX, QUERIES, 12)
    assert any(answers) and done == [4]
    ((prompts, params),) = stand_in.calls
    assert params == SamplingParams(0.0, 12, ["\n"], None, True)
    assert all(type(token) is int for prompt in prompts for token in prompt["prompt_token_ids"])


def test_special_tokens_of_a_chat_template(stand_in):
    """Its names are those tokens, and nothing is put before them; in a plain prompt they are text."""
    backend = VLLMBackend(DIRECTORY)
    texts = ["<bos>a"]
    assert backend.count_tokens(texts, with_special_tokens=True) == [2]
    assert backend.count_tokens(texts)[0] > 2
    backend.generate(Prompts("<bos>", ["a"], LABELS, "\n", with_special_tokens=True), 1)
    ((prompts, _),) = stand_in.calls
    assert prompts[0]["prompt_token_ids"][0] == stand_in.tokenizer.bos_token_id
    assert len(prompts[0]["prompt_token_ids"]) == 2


def test_prompts_that_are_too_long(stand_in):
    stand_in.context = 41
    backend = VLLMBackend(DIRECTORY)
    with pytest.raises(UserError, match=r"the longest prompt has \d+ tokens, but the context is 40"):
        backend.score(prompts_of())
    with pytest.raises(UserError, match="the context is 40"):
        backend.generate(prompts_of(), 4)
    assert stand_in.calls == []


def test_the_last_token_that_fits(stand_in):
    longest = max(VLLMBackend(DIRECTORY).count_tokens([PREFIX + query for query in QUERIES]))
    stand_in.context = longest + 5
    backend = VLLMBackend(DIRECTORY)
    backend.generate(prompts_of(), 4)
    with pytest.raises(UserError, match=f"{longest + 5} tokens, but the context is {longest + 4}"):
        backend.generate(prompts_of(), 5)


def test_nan(stand_in):
    with torch.no_grad():
        stand_in.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="NaN"):
        VLLMBackend(DIRECTORY).score(prompts_of())


def test_what_cannot_be_done(stand_in, monkeypatch):
    with pytest.raises(UserError, match="--constrained"):
        VLLMBackend(DIRECTORY).generate(prompts_of(), 4, constrained=True)
    with pytest.raises(UserError, match="vLLM cannot load 'elsewhere': elsewhere is not a model identifier"):
        VLLMBackend("elsewhere")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"pip install 'ddg_hf\[vllm\]'"):
        VLLMBackend(DIRECTORY)
