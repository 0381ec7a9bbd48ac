# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A prefix that is never copied gives the numbers of one that is, and of no cache at all."""

import numpy as np
import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, Gemma2Config, Gemma2ForCausalLM

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import encode_prompts, next_tokens, reading, scoring, shared_prefix
from ddg_hf.evaluation.icl.reading import ExpandedRows
from ddg_hf.evaluation.icl.scoring import (
    KeptPrefix,
    best_labels,
    generate_answers,
    generate_constrained,
    score_prompts,
)
from ddg_hf.evaluation.icl.shared_prefix import SharedRows, can_share
from tests.evaluation.icl.helpers import DEMONSTRATIONS, QUERIES, TEMPLATE, make_model, uncached_score_labels

FAMILIES = ["gpt2", "llama", "qwen2", "mistral", "gemma3"]
PREFIX = TEMPLATE.prefix(DEMONSTRATIONS)
LABELS = [" negative", " rather unclear", " rather good", " rather good indeed", " quite positive indeed", " good"]


def encoded(tokenizer, prefix=PREFIX, queries=QUERIES, labels=LABELS):
    return encode_prompts(tokenizer, prefix, queries, labels, TEMPLATE.terminator)


def expected_scores(model, tokenizer, prefix=PREFIX, queries=QUERIES, labels=LABELS):
    return uncached_score_labels(
        model, tokenizer, prefix, queries, labels, TEMPLATE.terminator, encoded(tokenizer).terminated
    )


@pytest.fixture
def used(monkeypatch):
    """Counts the batches of each kind."""
    counts = {"shared": 0, "expanded": 0}
    for name, kind in (("shared", SharedRows), ("expanded", ExpandedRows)):

        def counted(*args, _name=name, _kind=kind):
            counts[_name] += 1
            return _kind(*args)

        monkeypatch.setattr(scoring, kind.__name__, counted)
    return counts


@pytest.mark.parametrize("way", ["shared", "expanded"])
@pytest.mark.parametrize("family", FAMILIES)
def test_both_ways_equal_no_cache(family, way, tiny_tokenizer, monkeypatch, used):
    model = make_model(family, tiny_tokenizer)
    assert can_share(model)
    monkeypatch.setattr(scoring, "can_share", lambda model: way == "shared")
    prompts = encoded(tiny_tokenizer)
    assert prompts.terminated
    scores_QK = score_prompts(model, prompts)
    np.testing.assert_allclose(scores_QK, expected_scores(model, tiny_tokenizer), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(best_labels(model, prompts).labels_Q, scores_QK.argmax(axis=1))
    assert np.ptp(scores_QK, axis=0).min() > 0.02
    assert used[way] and not used["shared" if way == "expanded" else "expanded"]


@pytest.mark.parametrize("family", FAMILIES)
def test_best_label_of_many(family, tiny_tokenizer):
    """Two words each, the first of which many share."""
    model = make_model(family, tiny_tokenizer)
    words = (
        "warm funny film minute dull fall flat start finish quiet drama great actors lead long loud proud own".split()
    )
    prompts = encoded(tiny_tokenizer, labels=[f" {a} {b}" for a in words for b in words[::4]])
    np.testing.assert_array_equal(best_labels(model, prompts).labels_Q, score_prompts(model, prompts).argmax(axis=1))


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_put_back(family, tiny_tokenizer):
    model = make_model(family, tiny_tokenizer)
    before = model.config._attn_implementation
    score_prompts(model, encoded(tiny_tokenizer))
    assert model.config._attn_implementation == before != shared_prefix.ATTENTION


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma3"])
@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (shared_prefix, "MAX_SCORES", 1),
        (reading, "PREFILL_TOKENS", 7),
        (reading, "CPU_TOKENS", 20),
        (reading, "CPU_MAX_PADDING", 0),
        (next_tokens, "CPU_POSITIONS", 2),
        (next_tokens, "CPU_TILE", 7),
    ],
)
def test_pieces(family, owner, name, value, tiny_tokenizer, monkeypatch):
    """Scores, prefixes, rows and logits that come in pieces; windows that end in the middle of one."""
    model = make_model(family, tiny_tokenizer)
    monkeypatch.setattr(owner, name, value)
    if name == "MAX_SCORES":
        monkeypatch.setattr(shared_prefix, "_has_kernel", lambda *args: False)
    prompts = encoded(tiny_tokenizer)
    scores_QK = score_prompts(model, prompts)
    np.testing.assert_allclose(scores_QK, expected_scores(model, tiny_tokenizer), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(best_labels(model, prompts).labels_Q, scores_QK.argmax(axis=1))


@pytest.mark.parametrize("window", [3, 8, 20])
def test_windows_shorter_than_a_query(window, tiny_tokenizer):
    """The window then begins inside the row itself, also for a label of many tokens."""
    model = make_model("gemma3", tiny_tokenizer, sliding_window=window)
    prompts = encoded(tiny_tokenizer)
    assert max(map(len, prompts.queries)) > window
    scores_QK = score_prompts(model, prompts)
    np.testing.assert_allclose(scores_QK, expected_scores(model, tiny_tokenizer), rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["mistral", "gemma3"])
@pytest.mark.parametrize("more", [1, 5, 9, 200])
def test_window_that_ends_in_a_prefix_that_is_kept_whole(more, family, tiny_tokenizer):
    """The prefix is shorter than the window: only the last tokens of a row no longer see its beginning."""
    prompts = encoded(tiny_tokenizer)
    model = make_model(family, tiny_tokenizer, sliding_window=len(prompts.prefix) + more)
    assert can_share(model)
    scores_QK = score_prompts(model, prompts)
    np.testing.assert_allclose(scores_QK, expected_scores(model, tiny_tokenizer), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(best_labels(model, prompts).labels_Q, scores_QK.argmax(axis=1))


@pytest.mark.parametrize("family", FAMILIES)
def test_shared_rows_without_a_prefix(family, tiny_tokenizer, used):
    """Nothing in common, and too many labels to read them one by one."""
    model = make_model(family, tiny_tokenizer)
    queries = [text + QUERIES[0] for text in ("a", "dull", "the quiet film")]
    labels = [f" {a} {b}" for a in ("warm", "funny", "dull") for b in ("film", "start", "quiet")]
    prompts = encoded(tiny_tokenizer, "", queries, labels)
    assert not prompts.prefix and len(labels) > scoring.FEW_LABELS
    scores_QK = score_prompts(model, prompts)
    expected_QK = uncached_score_labels(
        model, tiny_tokenizer, "", queries, labels, TEMPLATE.terminator, prompts.terminated
    )
    np.testing.assert_allclose(scores_QK, expected_QK, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(best_labels(model, prompts).labels_Q, scores_QK.argmax(axis=1))
    assert used["shared"] and not used["expanded"]


def test_labels_of_one_token_keep_no_cache(tiny_tokenizer, monkeypatch):
    kept = []

    class Watched(SharedRows):
        def __init__(self, *args):
            super().__init__(*args)
            kept.append(self.cache)

    monkeypatch.setattr(scoring, "SharedRows", Watched)
    model = make_model("llama", tiny_tokenizer)
    for labels in ([" good", " bad"], LABELS):
        prompts = encoded(tiny_tokenizer, labels=labels)
        assert (max(map(len, prompts.labels)) == 1) == (labels is not LABELS)
        score_prompts(model, prompts)
    assert kept[0] is None and kept[-1] is not None


def test_a_model_that_keeps_nothing(tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer)
    inner = model.transformer.forward

    def forget(*args, past_key_values=None, attention_mask=None, **others):
        return inner(*args, **others)

    model.transformer.forward = forget
    with pytest.raises(UserError, match="does not keep what it has read"):
        score_prompts(model, encoded(tiny_tokenizer))


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_is_the_same(family, tiny_tokenizer, monkeypatch):
    model = make_model(family, tiny_tokenizer)
    prompts = encode_prompts(tiny_tokenizer, PREFIX, QUERIES)
    shared = generate_answers(model, tiny_tokenizer, prompts, 8)
    monkeypatch.setattr(scoring, "can_share", lambda model: False)
    assert generate_answers(model, tiny_tokenizer, prompts, 8) == shared


@pytest.mark.parametrize("way", ["shared", "expanded"])
@pytest.mark.parametrize("family", ["gpt2", "gemma3"])
def test_constrained_generation(family, way, tiny_tokenizer, monkeypatch):
    """Token by token the likeliest that continues a label."""
    model = make_model(family, tiny_tokenizer)
    monkeypatch.setattr(scoring, "can_share", lambda model: way == "shared")
    prompts = encoded(tiny_tokenizer)
    expected = []
    for query in prompts.queries:
        written: list[int] = []
        while written not in prompts.labels:
            allowed = {x[len(written)] for x in prompts.labels if x[: len(written)] == written}
            with torch.no_grad():
                logits_V = model(torch.tensor([prompts.prefix + query + written])).logits[0, -1]
            written.append(max(sorted(allowed), key=lambda token, scores=logits_V: scores[token].item()))
        expected.append(prompts.labels.index(written))
    assert generate_constrained(model, prompts).tolist() == expected


@pytest.mark.parametrize("cap", [None, 2.0])
def test_soft_capped_attention(cap, tiny_tokenizer):
    config = Gemma2Config(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=24,
        attn_logit_softcapping=cap,
        query_pre_attn_scalar=1,  # large scores, so that the cap matters
        attn_implementation="eager",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Gemma2ForCausalLM(config).eval()
    assert can_share(model)
    scores_QK = score_prompts(model, encoded(tiny_tokenizer))
    np.testing.assert_allclose(scores_QK, expected_scores(model, tiny_tokenizer), rtol=0, atol=1e-4)


def test_a_model_whose_attention_cannot_be_exchanged(tiny_tokenizer, used):
    """Bloom adds a bias to its scores that our attention would not know of."""
    config = BloomConfig(vocab_size=len(tiny_tokenizer), hidden_size=32, n_layer=2, n_head=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BloomForCausalLM(config).eval()
    assert not can_share(model)
    scores_QK = score_prompts(model, encoded(tiny_tokenizer))
    np.testing.assert_allclose(scores_QK, expected_scores(model, tiny_tokenizer), rtol=0, atol=1e-4)
    assert used["expanded"] and not used["shared"]


def test_prefix_that_is_shorter_than_the_queries_is_copied(tiny_tokenizer, used):
    model = make_model("qwen2", tiny_tokenizer)
    whole = [PREFIX + query for query in QUERIES]
    scores_QK = score_prompts(model, encoded(tiny_tokenizer, "", ["x" + text for text in whole] + whole))
    np.testing.assert_allclose(scores_QK[len(whole) :], expected_scores(model, tiny_tokenizer), rtol=0, atol=1e-4)
    assert used["expanded"] and not used["shared"]


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_differs_only_near_a_tie(family, tiny_tokenizer):
    model = make_model(family, tiny_tokenizer)
    exact_QK = score_prompts(model, encoded(tiny_tokenizer))
    scores_QK = score_prompts(model.to(torch.bfloat16), encoded(tiny_tokenizer))
    best_Q2 = np.sort(exact_QK, axis=1)[:, -2:]
    differ_Q = exact_QK.argmax(axis=1) != scores_QK.argmax(axis=1)
    assert (np.diff(best_Q2, axis=1)[differ_Q] < 0.05).all()
    assert 0 < np.abs(scores_QK - exact_QK).max() < 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_with_and_without_a_cache_differ_only_near_a_tie(family, tiny_tokenizer):
    model = make_model(family, tiny_tokenizer).to(torch.bfloat16)
    scores_QK, expected_QK = score_prompts(model, encoded(tiny_tokenizer)), expected_scores(model, tiny_tokenizer)
    margin_Q = np.diff(np.sort(expected_QK, axis=1)[:, -2:], axis=1)[:, 0]
    differ_Q = scores_QK.argmax(axis=1) != expected_QK.argmax(axis=1)
    assert (margin_Q[differ_Q] < 0.05).all()
    assert np.abs(scores_QK - expected_QK).max() < 0.25


def test_prefix_is_kept_between_calls(tiny_tokenizer):
    model, kept = make_model("llama", tiny_tokenizer), KeptPrefix()
    read = []
    hook = model.model.embed_tokens.register_forward_hook(lambda module, args, output: read.append(args[0].numel()))
    prompts = encoded(tiny_tokenizer, queries=QUERIES[:4])
    first_QK = score_prompts(model, prompts, kept=kept)
    assert max(read) == len(prompts.prefix)
    read.clear()
    one = score_prompts(model, encoded(tiny_tokenizer, queries=QUERIES[1:2]), kept=kept)
    again_QK = score_prompts(model, prompts, kept=kept)
    assert max(read) < len(prompts.prefix)
    read.clear()
    other = encoded(tiny_tokenizer, TEMPLATE.prefix(DEMONSTRATIONS[::-1]))
    other_QK = score_prompts(model, other, kept=kept)
    assert max(read) >= len(other.prefix)
    hook.remove()
    np.testing.assert_allclose(one[0], first_QK[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(again_QK, first_QK, rtol=0, atol=1e-5)
    np.testing.assert_allclose(other_QK, score_prompts(model, other), rtol=0, atol=1e-5)
