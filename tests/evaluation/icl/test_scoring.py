# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Scores and answers from the shared cache equal those of the plain way, for every family of models."""

import numpy as np
import pytest
import torch

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import generate_labels, score_labels
from ddg_hf.evaluation.icl.next_tokens import NextTokens
from ddg_hf.evaluation.icl.scoring import _batches
from ddg_hf.evaluation.icl.shared_prefix import can_share
from tests.evaluation.icl.helpers import (
    DEMONSTRATIONS,
    QUERIES,
    TEMPLATE,
    make_model,
    uncached_generate,
    uncached_score_labels,
)

FAMILIES = ["gpt2", "llama", "qwen2", "mistral", "gemma3"]
PREFIX = TEMPLATE.prefix(DEMONSTRATIONS)
LABELS = {
    "one_token": [" positive", " good", " bad"],
    "many_tokens": [" negative", " rather unclear", " quite positive indeed"],
    "prefix_of_another": [" good", " good and great", " great"],
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_cached_equals_plain(family, labels, tiny_tokenizer):
    model = make_model(family, tiny_tokenizer)
    nested = labels == "prefix_of_another"
    expected_QK = uncached_score_labels(
        model, tiny_tokenizer, PREFIX, QUERIES, LABELS[labels], TEMPLATE.terminator, terminated=nested
    )
    # a model that answers the same to every query would prove nothing
    assert np.ptp(expected_QK, axis=0).min() > 0.02
    for budget in (1, 1500, 100_000):
        scores_QK = score_labels(
            model, tiny_tokenizer, PREFIX, QUERIES, LABELS[labels], budget, terminator=TEMPLATE.terminator
        )
        np.testing.assert_allclose(scores_QK, expected_QK, rtol=0, atol=1e-4)


def test_label_kinds_are_what_they_are_called(tiny_tokenizer):
    lengths = {k: [len(tiny_tokenizer(word)["input_ids"]) for word in v] for k, v in LABELS.items()}
    assert set(lengths["one_token"]) == {1}
    assert len(set(lengths["many_tokens"])) == 3
    first, second, _ = (tiny_tokenizer(word)["input_ids"] for word in LABELS["prefix_of_another"])
    assert second[: len(first)] == first


@pytest.mark.parametrize("family", ["mistral", "gemma3"])
def test_window_is_shorter_than_the_prefix(family, tiny_tokenizer):
    """The equality above would be easy if the sliding window saw everything: it must not."""
    wide = make_model(family, tiny_tokenizer, sliding_window=1000)
    narrow = make_model(family, tiny_tokenizer)
    assert narrow.config.sliding_window < len(tiny_tokenizer(PREFIX)["input_ids"])
    scores = [score_labels(m, tiny_tokenizer, PREFIX, QUERIES, LABELS["one_token"]) for m in (wide, narrow)]
    assert np.abs(scores[0] - scores[1]).max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("labels", ["one_token", "many_tokens"])
def test_without_demonstrations(family, labels, tiny_tokenizer):
    """No prefix but what the queries happen to share."""
    model = make_model(family, tiny_tokenizer)
    expected_QK = uncached_score_labels(model, tiny_tokenizer, "", QUERIES, LABELS[labels])
    scores_QK = score_labels(model, tiny_tokenizer, "", QUERIES, LABELS[labels])
    np.testing.assert_allclose(scores_QK, expected_QK, rtol=0, atol=1e-4)


def test_queries_without_anything_in_common(tiny_tokenizer):
    model = make_model("gemma3", tiny_tokenizer)
    queries = ["a film", "the plot:", "x"]
    expected_QK = uncached_score_labels(model, tiny_tokenizer, "", queries, LABELS["many_tokens"])
    scores_QK = score_labels(model, tiny_tokenizer, "", queries, LABELS["many_tokens"])
    np.testing.assert_allclose(scores_QK, expected_QK, rtol=0, atol=1e-4)


def test_one_query_and_repeated_queries(tiny_tokenizer):
    model = make_model("qwen2", tiny_tokenizer)
    once = score_labels(model, tiny_tokenizer, PREFIX, QUERIES[:1], LABELS["many_tokens"])
    thrice = score_labels(model, tiny_tokenizer, PREFIX, QUERIES[:1] * 3, LABELS["many_tokens"])
    expected = uncached_score_labels(model, tiny_tokenizer, PREFIX, QUERIES[:1], LABELS["many_tokens"])
    np.testing.assert_allclose(once, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(thrice, expected.repeat(3, axis=0), rtol=0, atol=1e-4)


def test_results_follow_the_order_of_the_queries(tiny_tokenizer):
    model = make_model("llama", tiny_tokenizer)
    order = np.random.default_rng(0).permutation(len(QUERIES))
    scores = score_labels(model, tiny_tokenizer, PREFIX, QUERIES, LABELS["one_token"])
    shuffled = score_labels(model, tiny_tokenizer, PREFIX, [QUERIES[i] for i in order], LABELS["one_token"])
    np.testing.assert_allclose(shuffled, scores[order], rtol=0, atol=1e-4)


def test_soft_capped_logits(tiny_tokenizer):
    model = make_model("gemma3", tiny_tokenizer, final_logit_softcapping=0.5)
    free = make_model("gemma3", tiny_tokenizer)
    expected_QK = uncached_score_labels(model, tiny_tokenizer, PREFIX, QUERIES, LABELS["many_tokens"])
    scores_QK = score_labels(model, tiny_tokenizer, PREFIX, QUERIES, LABELS["many_tokens"])
    np.testing.assert_allclose(scores_QK, expected_QK, rtol=0, atol=1e-4)
    free_QK = score_labels(free, tiny_tokenizer, PREFIX, QUERIES, LABELS["many_tokens"])
    assert np.abs(free_QK - scores_QK).max() > 0.05


def test_only_the_positions_needed_reach_the_output_layer(tiny_tokenizer, monkeypatch):
    model = make_model("gemma3", tiny_tokenizer)
    found, logprobs = [], NextTokens.logprobs

    def watched(self, at_E, tokens_E):
        found.append((len(self), self.layer))
        return logprobs(self, at_E, tokens_E)

    assert can_share(model)  # asked once, with forward passes of its own
    monkeypatch.setattr(NextTokens, "logprobs", watched)
    score_labels(model, tiny_tokenizer, PREFIX, QUERIES, LABELS["one_token"])
    assert found == [(len(QUERIES), model.lm_head)]


def test_a_watched_output_layer_sees_only_the_positions_needed(tiny_tokenizer):
    """With a hook on it, the layer is called as the model calls it."""
    model = make_model("gemma3", tiny_tokenizer)
    shapes = []
    assert can_share(model)  # asked once, with forward passes of its own
    hook = model.lm_head.register_forward_hook(lambda module, args, output: shapes.append(tuple(output.shape[:2])))
    score_labels(model, tiny_tokenizer, PREFIX, QUERIES, LABELS["one_token"])
    hook.remove()
    assert shapes[0] == (1, 1) and {positions for _, positions in shapes} == {1}
    assert sum(rows for rows, _ in shapes[1:]) == len(QUERIES)


def test_prefix_is_read_once(tiny_tokenizer):
    model = make_model("llama", tiny_tokenizer)
    read = []
    assert can_share(model)
    hook = model.model.embed_tokens.register_forward_hook(lambda module, args, output: read.append(args[0].numel()))
    score_labels(model, tiny_tokenizer, PREFIX, QUERIES, LABELS["one_token"], token_budget=1)
    hook.remove()
    assert len(read) == 1 + len(QUERIES)
    assert max(read[1:]) < read[0]
    assert sum(sorted(read)[:-1]) < sum(len(tiny_tokenizer(query)["input_ids"]) for query in QUERIES)


def test_newline_gives_the_longer_label_a_chance(tiny_tokenizer):
    """To a model that always goes on from ` good` to ` and` and then ends the line, ` good` is the wrong label."""
    model = make_model("llama", tiny_tokenizer)
    good, joined, newline = (tiny_tokenizer(text)["input_ids"][-1] for text in (" good", " good and", "\n"))
    with torch.no_grad():  # no layer adds anything: what follows depends on the last token alone
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embeddings = torch.nn.functional.normalize(model.model.embed_tokens.weight, dim=-1)
        model.lm_head.weight[joined] = 5 * embeddings[good]
        model.lm_head.weight[newline] = 5 * embeddings[joined]
    labels = [" good", " good and"]
    bare_QK = uncached_score_labels(model, tiny_tokenizer, PREFIX, QUERIES, labels)
    scores_QK = score_labels(model, tiny_tokenizer, PREFIX, QUERIES, labels, terminator=TEMPLATE.terminator)
    assert set(bare_QK.argmax(axis=1)) == {0}
    assert set(scores_QK.argmax(axis=1)) == {1}


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_equals_plain(family, tiny_tokenizer):
    overrides = {"tie_word_embeddings": False} if family == "qwen2" else {}  # tied, it repeats its input for ever
    model = make_model(family, tiny_tokenizer, **overrides)
    expected = [uncached_generate(model, tiny_tokenizer, PREFIX + query, 8) for query in QUERIES]
    assert len(set(expected)) > 1
    for budget in (1, 1500, 100_000):
        assert generate_labels(model, tiny_tokenizer, PREFIX, QUERIES, 8, budget) == expected


@pytest.mark.parametrize("listed", [False, True])
def test_generation_stops_at_eos(listed, tiny_tokenizer):
    model = make_model("llama", tiny_tokenizer)
    answer = generate_labels(model, tiny_tokenizer, PREFIX, QUERIES[:1], 6)[0]
    ids = tiny_tokenizer(answer)["input_ids"]
    model.generation_config.eos_token_id = [ids[2], 7] if listed else ids[2]
    shorter = generate_labels(model, tiny_tokenizer, PREFIX, QUERIES[:1], 6)[0]
    assert shorter != answer and answer.startswith(shorter)


def test_generation_stops_at_newline(tiny_tokenizer):
    """The first line only, whatever comes after it."""
    model = make_model("llama", tiny_tokenizer)
    first = generate_labels(model, tiny_tokenizer, PREFIX, QUERIES[:1], 1)
    newline = tiny_tokenizer("\n")["input_ids"][0]
    steps = []

    def force_newline(module, args, output):
        steps.append(output.shape)
        if len(steps) == 3:  # prefix, query, and the token after the first
            output[..., newline] = 1e4
        return output

    hook = model.lm_head.register_forward_hook(force_newline)
    assert generate_labels(model, tiny_tokenizer, PREFIX, QUERIES[:1], 6) == first
    hook.remove()
    assert len(steps) == 3


def test_prompt_longer_than_the_context(tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer, n_positions=100)
    with pytest.raises(UserError, match="tokens, but the model's context is 100"):
        score_labels(model, tiny_tokenizer, PREFIX, QUERIES, LABELS["one_token"])


def test_prompt_as_long_as_the_context(tiny_tokenizer):
    length = max(len(tiny_tokenizer(PREFIX + query)["input_ids"]) for query in QUERIES)
    model = make_model("gpt2", tiny_tokenizer, n_positions=length)
    assert score_labels(model, tiny_tokenizer, PREFIX, QUERIES, LABELS["one_token"]).shape == (len(QUERIES), 3)


def test_nan_logits_are_an_error(tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer)
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = float("nan")
    with pytest.raises(UserError, match="NaN logits"):
        score_labels(model, tiny_tokenizer, PREFIX, QUERIES, LABELS["one_token"])


@pytest.mark.parametrize("equal", [False, True])
def test_batches(equal):
    lengths = np.random.default_rng(0).integers(1, 30, 300).tolist()
    batches = _batches(lengths, fixed=20, token_budget=400, equal=equal)
    assert sorted(row for batch in batches for row in batch) == list(range(300))
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) * (20 + longest) <= 400
        assert not equal or {lengths[row] for row in batch} == {longest}
    assert len(batches) < 40 or equal
    assert _batches([5, 9], fixed=20, token_budget=1, equal=False) == [[1], [0]]
