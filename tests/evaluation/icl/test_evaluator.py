# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The evaluator: prompts in, predictions out."""

import dataclasses

import numpy as np
import pytest
import torch

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import (
    BestLabels,
    ICLEvaluator,
    LabelScores,
    PromptTemplate,
    TransformersBackend,
    encode_prompts,
    log_normalize,
    reading,
    score_labels,
)
from ddg_hf.evaluation.icl.evaluator import CONTENT_FREE
from ddg_hf.evaluation.icl.shared_prefix import can_share
from tests.evaluation.icl.helpers import DEMONSTRATIONS, make_model, uncached_score_labels
from tests.tiny_models import SENTENCES

SPEC = get_task("sst2")
QUERIES = [(sentence,) for sentence in SENTENCES[4:]]


def make_evaluator(model, tokenizer, spec=SPEC, **options):
    return ICLEvaluator(TransformersBackend(model, tokenizer), PromptTemplate.from_task(spec), **options)


def test_likelihood(tiny_tokenizer):
    model = make_model("qwen2", tiny_tokenizer)
    evaluator = make_evaluator(model, tiny_tokenizer)
    done = []
    result = evaluator.evaluate(DEMONSTRATIONS, QUERIES, progress=done.append)
    template = evaluator.template
    prefix, texts = template.prefix(DEMONSTRATIONS), [template.query(query) for query in QUERIES]
    expected_QK = score_labels(model, tiny_tokenizer, prefix, texts, template.continuations())
    np.testing.assert_allclose(result.logprobs_QK, expected_QK, atol=1e-5)
    assert (result.predictions_Q == expected_QK.argmax(1)).all()
    empty = [template.query((text,)) for text in CONTENT_FREE]
    shares_EK = np.exp(log_normalize(score_labels(model, tiny_tokenizer, prefix, empty, template.continuations())))
    np.testing.assert_allclose(np.exp(result.contextual_logprobs_K), shares_EK.mean(axis=0), atol=1e-5)
    lengths = [len(tiny_tokenizer(label)["input_ids"]) for label in template.continuations()]
    assert result.label_tokens_K.tolist() == lengths
    assert result.num_unparsable == 0 and result.answers is None and result.seconds > 0
    assert not result.failed_Q.any() and (result.rounds, result.dropped_rounds, result.num_ties) == (2, 0, 0)
    assert 0 <= result.prefix_tokens - len(tiny_tokenizer(prefix)["input_ids"]) < 10
    assert sum(done) == len(QUERIES)


def test_demonstrations_matter(tiny_tokenizer):
    evaluator = make_evaluator(make_model("llama", tiny_tokenizer), tiny_tokenizer)
    shown = evaluator.evaluate(DEMONSTRATIONS, QUERIES)
    zero_shot = evaluator.evaluate([], QUERIES)
    assert zero_shot.prefix_tokens < shown.prefix_tokens
    assert np.abs(shown.logprobs_QK - zero_shot.logprobs_QK).max() > 0.01


def test_generate_counts_what_it_cannot_parse(tiny_tokenizer, monkeypatch):
    """A model that writes one token for ever: right where it is a label, unparsable where it is not."""
    monkeypatch.setattr(reading, "CPU_MAX_PADDING", 10**6)  # one batch
    good = tiny_tokenizer(" good")["input_ids"][0]
    newline = tiny_tokenizer("\n")["input_ids"][0]
    model = make_model("gpt2", tiny_tokenizer)
    steps = []

    def write(module, args, output):
        steps.append(output)
        forced = torch.zeros_like(output)
        forced[..., good if len(steps) < 3 else newline] = 10.0  # the first step reads the prefix
        if len(steps) == 2:
            forced[0] = 0.0  # the longest query gets another answer
        return forced

    assert can_share(model)  # asked once, with forward passes of its own
    spec = dataclasses.replace(SPEC, label_words=("Good", "bad"))
    hook = model.lm_head.register_forward_hook(write)
    result = make_evaluator(model, tiny_tokenizer, spec, scoring="generate").evaluate(DEMONSTRATIONS, QUERIES)
    hook.remove()
    longest = int(np.argmax([len(tiny_tokenizer(texts[0])["input_ids"]) for texts in QUERIES]))
    expected_Q = np.zeros(len(QUERIES), dtype=int)
    expected_Q[longest] = -1
    assert (result.predictions_Q == expected_Q).all()
    assert result.num_unparsable == 1
    assert result.answers[(longest + 1) % len(QUERIES)] == "good"
    assert result.logprobs_QK is None and result.contextual_logprobs_K is None


@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_context_error_says_how_many_rounds_fit(scoring, tiny_tokenizer):
    demonstrations = DEMONSTRATIONS * 10
    short = make_model("gpt2", tiny_tokenizer, n_positions=400)
    with pytest.raises(UserError, match=r"model's context is 400; \d+ rounds fit") as caught:
        make_evaluator(short, tiny_tokenizer, scoring=scoring).evaluate(demonstrations, QUERIES)
    rounds = int(str(caught.value).split("--rounds ")[1].split()[0])
    assert rounds > 1
    evaluator = make_evaluator(short, tiny_tokenizer, scoring=scoring)
    evaluator.evaluate(demonstrations[: 2 * rounds], QUERIES)
    evaluator.shown(demonstrations[: 2 * rounds], QUERIES)
    for method in (evaluator.evaluate, evaluator.shown):
        with pytest.raises(UserError, match=f"{rounds} rounds fit"):
            method(demonstrations[: 2 * rounds + 2], QUERIES)


def test_not_even_one_round(tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer, n_positions=110)
    for drop in (False, True):
        with pytest.raises(UserError, match="not even one round fits"):
            make_evaluator(model, tiny_tokenizer, drop_rounds=drop).evaluate(DEMONSTRATIONS, QUERIES)


@pytest.mark.parametrize("scoring", ["likelihood", "argmax", "generate"])
def test_rounds_that_do_not_fit_are_dropped(scoring, tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer, n_positions=400)
    evaluator = make_evaluator(model, tiny_tokenizer, scoring=scoring, drop_rounds=True)
    result = evaluator.evaluate(DEMONSTRATIONS * 10, QUERIES)
    assert result.rounds + result.dropped_rounds == 20 and result.rounds > 1
    fewer = evaluator.evaluate((DEMONSTRATIONS * 10)[: 2 * result.rounds], QUERIES)
    np.testing.assert_array_equal(result.predictions_Q, fewer.predictions_Q)
    assert fewer.dropped_rounds == 0
    budget = make_evaluator(model, tiny_tokenizer, scoring=scoring, drop_rounds=True, context_length=200)
    assert 0 < budget.evaluate(DEMONSTRATIONS * 10, QUERIES).rounds < result.rounds


def test_argmax_is_the_most_likely_label(tiny_tokenizer):
    spec = get_task("banking77")
    model = make_model("qwen2", tiny_tokenizer)
    found = [
        make_evaluator(model, tiny_tokenizer, spec, scoring=scoring).evaluate(DEMONSTRATIONS, QUERIES)
        for scoring in ("likelihood", "argmax")
    ]
    np.testing.assert_array_equal(found[0].predictions_Q, found[1].predictions_Q)
    assert found[1].logprobs_QK is None and np.ptp(found[0].logprobs_QK, axis=0).min() > 0.02


def test_constrained_generation_writes_labels_only(tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer)
    free = make_evaluator(model, tiny_tokenizer, scoring="generate").evaluate(DEMONSTRATIONS, QUERIES)
    bound = make_evaluator(model, tiny_tokenizer, scoring="generate", constrained=True)
    result = bound.evaluate(DEMONSTRATIONS, QUERIES)
    assert free.num_unparsable > 0 and result.num_unparsable == 0
    assert set(result.answers) <= set(bound.template.label_words)


@pytest.mark.parametrize("scoring", ["likelihood", "argmax", "generate"])
def test_demonstrations_of_each_query_are_its_own(scoring, tiny_tokenizer):
    evaluator = make_evaluator(make_model("gemma3", tiny_tokenizer), tiny_tokenizer, scoring=scoring)
    own = [DEMONSTRATIONS[i % 3 : i % 3 + 2] for i in range(len(QUERIES))]
    result = evaluator.evaluate_each(own, QUERIES)
    for i, query in enumerate(QUERIES):
        alone = evaluator.evaluate(own[i], [query])
        assert alone.predictions_Q[0] == result.predictions_Q[i]
        if scoring == "likelihood":
            np.testing.assert_allclose(alone.logprobs_QK[0], result.logprobs_QK[i], rtol=0, atol=1e-4)
            ours, theirs = result.contextual_logprobs_K[i], alone.contextual_logprobs_K
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert (result.contextual_logprobs_K is None) == (scoring != "likelihood") and result.prefix_tokens > 10


@pytest.mark.parametrize("scoring", ["likelihood", "argmax"])
def test_ties_are_counted_and_the_first_label_wins(scoring, tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer)
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.zero_()
    spec = dataclasses.replace(SPEC, label_words=("good", "bad"))
    result = make_evaluator(model, tiny_tokenizer, spec, scoring=scoring).evaluate(DEMONSTRATIONS, QUERIES)
    assert result.num_ties == len(QUERIES) and set(result.predictions_Q) == {0}


class FailingBackend:
    """Fails on every third query."""

    context_length, failures, shares_prefix = None, ["query 0: no answer"], False

    def count_tokens(self, texts, with_special_tokens=False):
        return [len(text) for text in texts]

    def score(self, prompts, progress=None):
        scores_QK = np.tile([-1.0, -2.0], (len(prompts.queries), 1))
        scores_QK[::3] = np.nan
        return LabelScores(scores_QK, np.array([1, 1]))

    def best(self, prompts, progress=None):
        return BestLabels.of_scores(self.score(prompts).logprobs_QK)

    def generate(self, prompts, max_new_tokens, constrained=False, progress=None):
        return [None if i % 3 == 0 else ("negative" if i % 3 == 1 else "?") for i in range(len(prompts.queries))]


@pytest.mark.parametrize("scoring", ["likelihood", "argmax", "generate"])
def test_failed_queries_are_told_from_unparsable_ones(scoring):
    evaluator = ICLEvaluator(FailingBackend(), PromptTemplate.from_task(SPEC), scoring=scoring)
    result = evaluator.evaluate(DEMONSTRATIONS, QUERIES)
    failed_Q = np.arange(len(QUERIES)) % 3 == 0
    np.testing.assert_array_equal(result.failed_Q, failed_Q)
    assert (result.predictions_Q[failed_Q] == -1).all()
    assert result.num_unparsable == (sum(np.arange(len(QUERIES)) % 3 == 2) if scoring == "generate" else 0)
    assert result.failures == ("query 0: no answer",)


def test_bad_arguments(tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer)
    with pytest.raises(UserError, match="unknown scoring 'guess'"):
        make_evaluator(model, tiny_tokenizer, scoring="guess")
    with pytest.raises(UserError, match="token_budget"):
        TransformersBackend(model, tiny_tokenizer, token_budget=0)
    with pytest.raises(UserError, match="no queries"):
        make_evaluator(model, tiny_tokenizer).evaluate(DEMONSTRATIONS, [])


@pytest.mark.parametrize("task", ["mnli", "banking77", "go_emotions", "toy"])
def test_other_tasks(task, tiny_tokenizer):
    """Sentence pairs, and many labels of many tokens: scores are those of whole prompts, one at a time."""
    spec = get_task(task)
    model = make_model("gemma3", tiny_tokenizer)
    rows = [tuple(SENTENCES[(i + j) % 12] for j in range(len(spec.text_columns))) for i in range(3)]
    evaluator = make_evaluator(model, tiny_tokenizer, spec)
    result = evaluator.evaluate([(rows[0], 1)], rows[1:])
    template = evaluator.template
    prefix, queries = template.prefix([(rows[0], 1)]), [template.query(row) for row in rows[1:]]
    labels = template.continuations()
    nested = encode_prompts(tiny_tokenizer, prefix, queries, labels, template.terminator).terminated
    expected_QK = uncached_score_labels(
        model, tiny_tokenizer, prefix, queries, labels, template.terminator, terminated=nested
    )
    np.testing.assert_allclose(result.logprobs_QK, expected_QK, rtol=0, atol=2e-4)
