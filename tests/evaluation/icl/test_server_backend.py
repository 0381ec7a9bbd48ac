# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A model behind a server answers as it does in this process."""

import numpy as np
import pytest
import torch

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import server_client
from ddg_hf.evaluation.icl.backend import Prompts
from ddg_hf.evaluation.icl.scoring import generate_labels, score_labels
from ddg_hf.evaluation.icl.server_backend import ServerBackend
from tests.evaluation.icl.fault_server import FaultServer, ModelAnswers, say, status
from tests.evaluation.icl.helpers import make_model, metaspace_tokenizer, splitting_tokenizer, with_bos

PREFIX = "Classify each review.\n\nReview: a warm and funny film\nSentiment: positive\n\n"
QUERIES = [f"Review: {text}\nSentiment:" for text in ("the plot is dull", "an honest drama", "", "too long, too loud")]
LABELS = [" negative", " positive"]
NESTED = [" transfer", " transfer fee", " card"]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(server_client, "FIRST_WAIT", 0.002)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def prompts_of(continuations=LABELS, prefix=PREFIX, queries=QUERIES):
    return Prompts(prefix, list(queries), list(continuations), "\n\nReview:")


def backend_of(server, **options):
    return ServerBackend(server.url, "tiny", **({"max_retries": 1, "timeout": 20.0} | options))


@pytest.fixture
def tokenizer(tiny_tokenizer):
    return tiny_tokenizer


@pytest.fixture
def model(tokenizer):
    return make_model("llama", tokenizer)


# Generation


def test_plain_prompts_are_answered_as_in_this_process(model, tokenizer):
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        answers = backend_of(server).generate(prompts_of(), 12)
    assert answers == generate_labels(model, tokenizer, PREFIX, QUERIES, 12)
    assert any(answers)


def test_what_is_sent_for_a_plain_prompt():
    with FaultServer(say(lambda _: "  Positive \nReview: more")) as server:
        assert backend_of(server).generate(prompts_of(), 9) == ["Positive"] * 4
    assert sorted(server.texts) == sorted(PREFIX + query for query in QUERIES)
    (body,) = {str(sorted((asked.body | {"prompt": ""}).items())) for asked in server.asked}
    sent = {
        "model": "tiny",
        "max_tokens": 9,
        "temperature": 0.0,
        "frequency_penalty": 0.0,
        "stop": ["\n"],
        "prompt": "",
    }
    assert body == str(sorted(sent.items()))
    assert {asked.path for asked in server.asked} == {"/v1/completions"}


def test_chat_prompts_are_sent_as_messages():
    messages = [
        [{"role": "user", "content": f"{PREFIX}{query}"}, {"role": "assistant", "content": "x"}] for query in QUERIES
    ]
    prompts = Prompts(PREFIX, QUERIES, ["negative", "positive"], "\n", messages=messages)
    with FaultServer(say(lambda _: "positive\n\nBecause ...")) as server:
        assert backend_of(server).generate(prompts, 9) == ["positive"] * 4
    assert {asked.path for asked in server.asked} == {"/v1/chat/completions"}
    assert sorted(map(str, messages)) == sorted(str(asked.body["messages"]) for asked in server.asked)
    assert all("prompt" not in asked.body and asked.body["temperature"] == 0 for asked in server.asked)


def test_a_chat_answer_without_text_is_empty():
    prompts = Prompts("", ["a"], LABELS, "\n", messages=[[{"role": "user", "content": "a"}]])
    with FaultServer(say(lambda _: None)) as server:
        backend = backend_of(server)
        assert backend.generate(prompts, 9) == [""]
    assert backend.failures == []


def test_a_chat_server_without_the_endpoint():
    prompts = Prompts("", ["a"], LABELS, "\n", messages=[[{"role": "user", "content": "a"}]])
    with FaultServer(say(str), lambda *_: status(404)) as server:
        with pytest.raises(UserError, match="404") as error:
            backend_of(server).generate(prompts, 9)
    assert "--chat" not in str(error.value)


def test_an_answer_has_room_for_the_longest_label():
    """The number of tokens is only guessed."""
    labels = [" card_payment_wrong_exchange_rate", " atm"]
    with FaultServer(say(lambda _: "atm")) as server:
        backend_of(server).generate(prompts_of(labels), 4)
    assert {asked.body["max_tokens"] for asked in server.asked} == {-(-len(labels[0]) // 2) + 2}


def test_text_that_cannot_be_encoded_is_sent_without_what_cannot():
    prompts = prompts_of(queries=["Review: caf\u00e9 \ud800\nSentiment:"])
    with FaultServer(say(lambda _: "good \udfff film")) as server:
        assert backend_of(server).generate(prompts, 9) == ["good ? film"]
    assert server.texts == [PREFIX + "Review: caf\u00e9 ?\nSentiment:"]


def test_constrained_generation_is_refused():
    backend = ServerBackend("http://127.0.0.1:1/v1", "tiny")
    with pytest.raises(UserError, match="--constrained"):
        backend.generate(prompts_of(), 9, constrained=True)


def test_token_counts_are_a_high_guess(tokenizer):
    backend = ServerBackend("http://127.0.0.1:1/v1", "tiny")
    assert backend.count_tokens(["", "abc", "abcd", "\u00e9\u00e9"]) == [0, 1, 2, 2]
    assert backend.context_length is None


# Likelihood


@pytest.mark.parametrize("continuations", [LABELS, NESTED, [" a", " b c d e f g"]], ids=["plain", "nested", "long"])
@pytest.mark.parametrize("family", ["bare", "bos", "metaspace"])
def test_scores_equal_those_of_the_same_model_in_this_process(tokenizer, family, continuations):
    if family != "bare":
        tokenizer = with_bos(tokenizer) if family == "bos" else metaspace_tokenizer()
    model = make_model("gpt2", tokenizer)
    prompts, done = prompts_of(continuations), []
    expected_QK = score_labels(model, tokenizer, PREFIX, QUERIES, continuations, terminator=prompts.terminator)
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        backend = backend_of(server)
        scores = backend.score(prompts, progress=done.append)
        np.testing.assert_array_equal(backend.best(prompts).labels_Q, expected_QK.argmax(axis=1))
    np.testing.assert_allclose(scores.logprobs_QK, expected_QK, atol=1e-4)
    assert backend.failures == [] and sum(done) == len(QUERIES)
    lengths = [len(tokenizer(f"Sentiment:{label}", add_special_tokens=False)["input_ids"]) for label in continuations]
    start = len(tokenizer("Sentiment:", add_special_tokens=False)["input_ids"])
    nested = any(a != b and b.startswith(a) for a in continuations for b in continuations)  # then newlines are scored
    assert scores.label_tokens_K.tolist() == [length - start + nested for length in lengths]


def test_prompts_that_share_nothing(model, tokenizer):
    """As retrieved demonstrations make them."""
    queries = [f"{sentence}\n\n{query}" for sentence, query in zip("abcd", QUERIES, strict=True)]
    expected_QK = score_labels(model, tokenizer, "", queries, LABELS)
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        scores = backend_of(server).score(prompts_of(prefix="", queries=queries))
    np.testing.assert_allclose(scores.logprobs_QK, expected_QK, atol=1e-4)


def test_labels_that_the_tokenizer_joins_with_the_prompt():
    tokenizer = splitting_tokenizer()
    with FaultServer(ModelAnswers(make_model("gpt2", tokenizer), tokenizer)) as server:
        with pytest.raises(UserError, match="joins.*--scoring generate"):
            backend_of(server).score(prompts_of())


@pytest.mark.parametrize("where", ["in the label", "before it"])
def test_labels_whose_tokens_depend_on_the_query(model, tokenizer, where):
    """A label is read differently behind the last query, or the last query is read differently before it."""

    class Joining(ModelAnswers):
        def __call__(self, asked):
            answer = super().__call__(asked)
            logprobs = answer["choices"][0]["logprobs"]
            if "loud" in asked.text and asked.text.endswith(" positive"):
                if where == "in the label":
                    logprobs["tokens"][-2] += "!"
                else:
                    logprobs["tokens"].insert(1, "extra")
                    logprobs["token_logprobs"].insert(1, -1.0)
                    answer["usage"]["prompt_tokens"] += 1
            return answer

    with FaultServer(Joining(model, tokenizer)) as server:
        with pytest.raises(UserError, match="depend on the query.*--scoring generate.*too long, too loud"):
            backend_of(server).score(prompts_of())


def test_the_same_text_with_its_label_elsewhere_is_another_question(tmp_path, model, tokenizer):
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        for query, labels in (("Review: a", [" warm film", " dull"]), ("Review: a warm", [" film", " plot"])):
            backend = backend_of(server, journal=tmp_path / "answers.jsonl")
            logprobs_QK = backend.score(Prompts("", [query], labels, "\n\n")).logprobs_QK
            np.testing.assert_allclose(logprobs_QK, score_labels(model, tokenizer, "", [query], labels), atol=1e-4)


def test_equal_labels(model, tokenizer):
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        with pytest.raises(UserError, match="same tokens of labels ' a' and ' a'"):
            backend_of(server).score(prompts_of([" b", " a", " a"]))
        with pytest.raises(UserError, match="no tokens of ''"):
            backend_of(server).score(prompts_of([" b", ""]))


def test_labels_are_not_scored_behind_chat_messages():
    prompts = Prompts("", ["a"], LABELS, "\n", messages=[[{"role": "user", "content": "a"}]])
    with pytest.raises(UserError, match="--scoring generate"):
        ServerBackend("http://127.0.0.1:1/v1", "tiny").score(prompts)


class Lying(ModelAnswers):
    """Answers with log-probabilities that `change` has changed."""

    def __init__(self, model, tokenizer, change):
        super().__init__(model, tokenizer)
        self.change = change

    def __call__(self, asked):
        answer = super().__call__(asked)
        choice = answer["choices"][0]
        if choice["logprobs"] is not None:
            self.change(answer, choice, choice["logprobs"])
        return answer


def _drop(name):
    return lambda answer, choice, logprobs: logprobs.pop(name)


def _last_only(answer, choice, logprobs):
    for values in logprobs.values():
        del values[:-1]


def _shift(answer, choice, logprobs):
    logprobs["token_logprobs"] = [*logprobs["token_logprobs"][1:], -20.0]


def _no_numbers(answer, choice, logprobs):
    logprobs["token_logprobs"] = [None] * len(logprobs["tokens"])


def _constant(answer, choice, logprobs):
    """Those of the prompt are made up, that of the token that was written is right."""
    size = answer["usage"]["prompt_tokens"]
    logprobs["token_logprobs"][1:size] = [-20.0] * (size - 1)


CHANGES = {
    "no logprobs": lambda answer, choice, logprobs: choice.update(logprobs=None),
    "no token_logprobs": _drop("token_logprobs"),
    "no tokens": _drop("tokens"),
    "of what was written only": _last_only,
    "without the prompt's text": lambda answer, choice, logprobs: choice.update(text="a"),
    "without numbers": _no_numbers,
    "not a number": lambda answer, choice, logprobs: logprobs["token_logprobs"].__setitem__(1, float("nan")),
    "positive": lambda answer, choice, logprobs: logprobs["token_logprobs"].__setitem__(1, 3.0),
    "of the next token": _shift,
    "made up": _constant,
    "no usage": lambda answer, choice, logprobs: answer.pop("usage"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_server_that_does_not_prove_log_probabilities_is_refused(tokenizer, change):
    """Weights large enough that the next token's log-probability is another one."""
    model = make_model("gpt2", tokenizer, initializer_range=0.5)
    with FaultServer(Lying(model, tokenizer, change)) as server:
        with pytest.raises(UserError, match="returns no prompt log-probabilities.*--scoring generate") as error:
            backend_of(server).score(prompts_of())
    assert "\n" not in str(error.value) and len(server.asked) <= 6


def test_a_server_that_knows_no_log_probabilities_is_refused():
    with FaultServer(say(lambda _: "a")) as server:
        with pytest.raises(UserError, match="--scoring generate"):
            backend_of(server).best(prompts_of())
    assert len(server.asked) == 1


def test_a_model_that_ends_every_text_proves_nothing(tokenizer):
    model = make_model("gpt2", tokenizer)
    last = model.transformer.h[-1].mlp.c_proj
    with torch.no_grad():
        last.bias.copy_(50 * model.lm_head.weight[tokenizer.eos_token_id])
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        with pytest.raises(UserError, match="--scoring generate"):
            backend_of(server).score(prompts_of())


def test_the_proof_is_asked_for_once(model, tokenizer):
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        backend = backend_of(server)
        backend.score(prompts_of())
        first = len(server.asked)
        backend.score(prompts_of(queries=[f"Review: {i}\nSentiment:" for i in range(3)]))
    # to prove it; the first query alone and with each label; every query with every label
    assert first - (3 + 8) in (2, 4, 6) and len(server.asked) == first + 3 + 6


def test_a_server_that_fails_while_it_is_asked_for_the_proof(model, tokenizer):
    with FaultServer(ModelAnswers(model, tokenizer), lambda *_: status(500)) as server:
        with pytest.raises(UserError, match="could not be asked.*500"):
            backend_of(server).score(prompts_of())


@pytest.mark.parametrize("continuations", [LABELS, NESTED], ids=["plain", "nested"])
def test_a_query_that_cannot_be_scored_is_nan(model, tokenizer, continuations):
    prompts, done = prompts_of(continuations), []

    def fault(_, asked):
        return status(500) if "loud" in asked.text and continuations[1] in asked.text else None

    with FaultServer(ModelAnswers(model, tokenizer), fault) as server:
        backend = backend_of(server)
        logprobs_QK = backend.score(prompts, progress=done.append).logprobs_QK
        assert backend.best(prompts).labels_Q[3] == -1
    assert np.isnan(logprobs_QK).all(axis=1).tolist() == [False, False, False, True]
    expected_QK = score_labels(model, tokenizer, PREFIX, QUERIES, continuations, terminator=prompts.terminator)
    np.testing.assert_allclose(logprobs_QK[:3], expected_QK[:3], atol=1e-4)
    assert backend.failures == ["query 3: the server answered 500: simulated 500 (2 attempts)"]
    assert sum(done) == 4


@pytest.mark.parametrize("ended", [False, True])
def test_labels_whose_tokens_are_not_told_fail_all_queries(model, tokenizer, ended):
    """Once behind the first query alone, and once where the terminator follows."""

    def fault(_, asked):
        return status(500) if asked.text == QUERIES[0] + NESTED[0] + ("\n\nReview:" if ended else "") else None

    with FaultServer(ModelAnswers(model, tokenizer), fault) as server:
        backend = backend_of(server)
        assert np.isnan(backend.score(prompts_of(NESTED)).logprobs_QK).all()
        assert backend.best(prompts_of(NESTED)).labels_Q.tolist() == [-1] * 4
    assert len(backend.failures) == 4


@pytest.mark.parametrize("continuations", [LABELS, NESTED], ids=["plain", "nested"])
def test_scoring_that_was_stopped_goes_on_where_it_was(tmp_path, model, tokenizer, continuations):
    path, prompts = tmp_path / "answers.jsonl", prompts_of(continuations)
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        expected_QK = backend_of(server).score(prompts).logprobs_QK
        whole = len(server.asked)
    stop = whole - 5
    with FaultServer(
        ModelAnswers(model, tokenizer), lambda number, _: status(500) if number >= stop else None
    ) as server:
        options = {"journal": path, "concurrency": 1, "max_retries": 0}
        assert np.isnan(backend_of(server, **options).score(prompts).logprobs_QK).any()
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        np.testing.assert_array_equal(backend_of(server, journal=path).score(prompts).logprobs_QK, expected_QK)
    assert len([text for text in server.texts if text.startswith((PREFIX, QUERIES[0]))]) == 5
    with FaultServer(ModelAnswers(model, tokenizer)) as server:
        np.testing.assert_array_equal(backend_of(server, journal=path).score(prompts).logprobs_QK, expected_QK)
    assert server.asked == []
