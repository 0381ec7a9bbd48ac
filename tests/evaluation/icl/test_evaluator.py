# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The evaluator: prompts in, predictions out."""

import dataclasses

import numpy as np
import pytest
import torch

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import ICLEvaluator, batch_calibrate, encode_prompts, score_labels
from tests.evaluation.icl.helpers import DEMONSTRATIONS, make_model, uncached_score_labels
from tests.tiny_models import SENTENCES

SPEC = get_task("sst2")
QUERIES = [(sentence,) for sentence in SENTENCES[4:]]


def test_likelihood(tiny_tokenizer):
    model = make_model("qwen2", tiny_tokenizer)
    evaluator = ICLEvaluator(model, tiny_tokenizer, SPEC)
    done = []
    result = evaluator.evaluate(DEMONSTRATIONS, QUERIES, progress=done.append)
    template = evaluator.template
    prefix, texts = template.prefix(DEMONSTRATIONS), [template.query(query) for query in QUERIES]
    expected_QK = score_labels(model, tiny_tokenizer, prefix, texts, template.continuations())
    np.testing.assert_allclose(result.logprobs_QK, expected_QK, atol=1e-5)
    assert (result.predictions_Q == expected_QK.argmax(1)).all()
    assert (result.calibrated_predictions_Q == batch_calibrate(expected_QK).argmax(1)).all()
    assert len(set(result.calibrated_predictions_Q)) == 2
    assert result.num_unparsable == 0 and result.answers is None and result.seconds > 0
    assert 0 <= result.prefix_tokens - len(tiny_tokenizer(prefix)["input_ids"]) < 10
    assert sum(done) == len(QUERIES)


def test_demonstrations_matter(tiny_tokenizer):
    evaluator = ICLEvaluator(make_model("llama", tiny_tokenizer), tiny_tokenizer, SPEC)
    shown = evaluator.evaluate(DEMONSTRATIONS, QUERIES)
    zero_shot = evaluator.evaluate([], QUERIES)
    assert zero_shot.prefix_tokens < shown.prefix_tokens
    assert np.abs(shown.logprobs_QK - zero_shot.logprobs_QK).max() > 0.01


def test_generate_counts_what_it_cannot_parse(tiny_tokenizer):
    """A model that writes one token for ever: right where it is a label, unparsable where it is not."""
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

    spec = dataclasses.replace(SPEC, label_words=("Good", "bad"))
    hook = model.lm_head.register_forward_hook(write)
    result = ICLEvaluator(model, tiny_tokenizer, spec, scoring="generate").evaluate(DEMONSTRATIONS, QUERIES)
    hook.remove()
    longest = int(np.argmax([len(tiny_tokenizer(texts[0])["input_ids"]) for texts in QUERIES]))
    expected_Q = np.zeros(len(QUERIES), dtype=int)
    expected_Q[longest] = -1
    assert (result.predictions_Q == expected_Q).all()
    assert result.num_unparsable == 1
    assert result.answers[(longest + 1) % len(QUERIES)] == "good"
    assert result.logprobs_QK is None and result.calibrated_predictions_Q is None


@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_context_error_says_how_many_rounds_fit(scoring, tiny_tokenizer):
    demonstrations = DEMONSTRATIONS * 10
    short = make_model("gpt2", tiny_tokenizer, n_positions=400)
    with pytest.raises(UserError, match=r"model's context is 400; \d+ rounds fit") as caught:
        ICLEvaluator(short, tiny_tokenizer, SPEC, scoring).evaluate(demonstrations, QUERIES)
    rounds = int(str(caught.value).split("--rounds ")[1])
    assert rounds > 1
    evaluator = ICLEvaluator(short, tiny_tokenizer, SPEC, scoring)
    evaluator.evaluate(demonstrations[: 2 * rounds], QUERIES)
    evaluator.check_context(demonstrations[: 2 * rounds], QUERIES)
    for method in (evaluator.evaluate, evaluator.check_context):
        with pytest.raises(UserError, match=f"{rounds} rounds fit"):
            method(demonstrations[: 2 * rounds + 2], QUERIES)


def test_not_even_one_round(tiny_tokenizer):
    evaluator = ICLEvaluator(make_model("gpt2", tiny_tokenizer, n_positions=60), tiny_tokenizer, SPEC)
    with pytest.raises(UserError, match="not even one round fits"):
        evaluator.evaluate(DEMONSTRATIONS, QUERIES)


def test_bad_arguments(tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer)
    with pytest.raises(UserError, match="unknown scoring 'guess'"):
        ICLEvaluator(model, tiny_tokenizer, SPEC, scoring="guess")
    with pytest.raises(UserError, match="token_budget"):
        ICLEvaluator(model, tiny_tokenizer, SPEC, token_budget=0)
    with pytest.raises(UserError, match="no queries"):
        ICLEvaluator(model, tiny_tokenizer, SPEC).evaluate(DEMONSTRATIONS, [])


@pytest.mark.parametrize("task", ["mnli", "banking77", "go_emotions", "toy"])
def test_other_tasks(task, tiny_tokenizer):
    """Sentence pairs, and many labels of many tokens: scores are those of whole prompts, one at a time."""
    spec = get_task(task)
    model = make_model("gemma3", tiny_tokenizer)
    rows = [tuple(SENTENCES[(i + j) % 12] for j in range(len(spec.text_columns))) for i in range(3)]
    evaluator = ICLEvaluator(model, tiny_tokenizer, spec)
    result = evaluator.evaluate([(rows[0], 1)], rows[1:])
    template = evaluator.template
    prefix, queries = template.prefix([(rows[0], 1)]), [template.query(row) for row in rows[1:]]
    labels = template.continuations()
    nested = encode_prompts(tiny_tokenizer, prefix, queries, labels, template.terminator).terminated
    expected_QK = uncached_score_labels(
        model, tiny_tokenizer, prefix, queries, labels, template.terminator, terminated=nested
    )
    np.testing.assert_allclose(result.logprobs_QK, expected_QK, rtol=0, atol=2e-4)
