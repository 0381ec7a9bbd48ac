# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Prefixes of each query's own, read in batches, give the numbers of one after the other and of no cache at all."""

import numpy as np
import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import encode_prompts, own_prefixes
from ddg_hf.evaluation.icl.own_prefixes import score_groups
from ddg_hf.evaluation.icl.scoring import score_prompts
from tests.evaluation.icl.helpers import DEMONSTRATIONS, QUERIES, TEMPLATE, make_model, uncached_score_labels
from tests.evaluation.icl.test_shared_prefix import FAMILIES, LABELS

# Of 1 to 4 demonstrations, so that batches have padding.
PREFIXES = [TEMPLATE.prefix(DEMONSTRATIONS[i % 3 : i % 3 + 1 + i % 4]) for i in range(len(QUERIES))]
ENDINGS = [[query, QUERIES[6], QUERIES[8]] for query in QUERIES]


def encoded(tokenizer, labels=LABELS, prefixes=PREFIXES):
    return [
        encode_prompts(tokenizer, prefix, endings, labels, TEMPLATE.terminator)
        for prefix, endings in zip(prefixes, ENDINGS, strict=True)
    ]


@pytest.fixture
def alone(monkeypatch):
    """Counts the groups that are scored one by one."""
    calls = []

    def counted(*args, **kwargs):
        calls.append(args)
        return score_prompts(*args, **kwargs)

    monkeypatch.setattr(own_prefixes, "score_prompts", counted)
    return calls


@pytest.mark.parametrize("labels", [LABELS, [" negative", " positive"], [" warm", " dull"]])
@pytest.mark.parametrize("family", FAMILIES)
def test_together_equals_no_cache(family, labels, tiny_tokenizer, alone):
    model = make_model(family, tiny_tokenizer)
    groups = encoded(tiny_tokenizer, labels)
    found = score_groups(model, groups)
    assert not alone and len(found) == len(groups)
    for prefix, endings, scores_NK, group in zip(PREFIXES, ENDINGS, found, groups, strict=True):
        expected_NK = uncached_score_labels(
            model, tiny_tokenizer, prefix, endings, labels, TEMPLATE.terminator, group.terminated
        )
        np.testing.assert_allclose(scores_NK, expected_NK, rtol=0, atol=1e-4)
    assert np.ptp(np.stack(found), axis=0).max() > 0.02  # the prefixes do matter


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("token_budget", [1, 700, 10_000])
def test_batches_change_nothing(family, token_budget, tiny_tokenizer):
    model = make_model(family, tiny_tokenizer)
    groups, done = encoded(tiny_tokenizer), []
    found = score_groups(model, groups, token_budget, done.append)
    assert sum(done) == len(groups) and (len(done) == len(groups)) == (token_budget == 1)
    for scores_NK, group in zip(found, groups, strict=True):
        np.testing.assert_allclose(scores_NK, score_prompts(model, group), rtol=0, atol=1e-4)


@pytest.mark.parametrize("window", [3, 8, 20, 60])
def test_sliding_windows(window, tiny_tokenizer, alone):
    """Windows that end within a label, an ending or a prefix."""
    model = make_model("gemma3", tiny_tokenizer, sliding_window=window)
    groups = encoded(tiny_tokenizer)
    for scores_NK, group in zip(score_groups(model, groups), groups, strict=True):
        np.testing.assert_allclose(scores_NK, score_prompts(model, group), rtol=0, atol=1e-4)
    assert not alone


def test_one_by_one_where_it_cannot_be_otherwise(tiny_tokenizer, alone, monkeypatch):
    model = make_model("gpt2", tiny_tokenizer)
    groups, done = encoded(tiny_tokenizer), []
    expected = score_groups(model, groups)
    assert not alone
    cases = (("can_share", lambda model: False), ("plain_output_layer", lambda model: None), ("LONGEST_PREFIX", 10))
    for name, value in cases:
        with monkeypatch.context() as patch:
            patch.setattr(own_prefixes, name, value)
            found = score_groups(model, groups, progress=done.append)
        assert len(alone) == sum(done) == len(groups)
        np.testing.assert_allclose(np.stack(found), np.stack(expected), rtol=0, atol=1e-4)
        alone.clear(), done.clear()
    endings = [text + QUERIES[0] for text in ("a", "dull", "the quiet film")]
    nothing = encode_prompts(tiny_tokenizer, "", endings, LABELS, TEMPLATE.terminator)
    assert not nothing.prefix
    score_groups(model, [nothing, nothing])
    assert len(alone) == 2


def test_a_prompt_over_the_context(tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer, n_positions=60)
    with pytest.raises(UserError, match="but the model's context is 60"):
        score_groups(model, encoded(tiny_tokenizer))
