# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A trimmed model against the full one with its softmax restricted to the kept tokens."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ddg_hf.errors import UserError
from ddg_hf.models.nll import IGNORE, add_per_sample_nll
from ddg_hf.models.vocabulary import TrimmedVocabulary, outside_probability
from tests import tiny_models

KEPT = [1, 2, 5, 7, 8, 20, 33, 34, 62]
MODELS = {
    "gpt2 tied": lambda: tiny_models.make_gpt2(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
    "gpt2 untied": lambda: tiny_models.make_gpt2(
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False
    ),
    "llama untied": tiny_models.make_llama,
    "llama tied": lambda: tiny_models.make_llama(tie_word_embeddings=True),
    "qwen2 tied": tiny_models.make_qwen2,
    "qwen2 untied": lambda: tiny_models.make_qwen2(tie_word_embeddings=False),
    "gemma3 tied": tiny_models.make_gemma3,
    "gemma3 soft-capped": lambda: tiny_models.make_gemma3(final_logit_softcapping=2.0),
    "gemma3 untied": lambda: tiny_models.make_gemma3(tie_word_embeddings=False),
}


@pytest.fixture(params=MODELS)
def full_model(request):
    return MODELS[request.param]()


def batch_of(ids: list[int]) -> dict[str, torch.Tensor]:
    """Two rows of the given ids, of unequal lengths; the first two tokens are a prefix."""
    input_ids = torch.tensor([ids[:6], ids[-4:] + ids[:2]])
    attention_mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    nll_labels = input_ids.masked_fill(attention_mask == 0, IGNORE)
    nll_labels[:, :2] = IGNORE
    return {"input_ids": input_ids, "attention_mask": attention_mask, "nll_labels": nll_labels}


def test_loss_and_gradients_equal_those_of_the_restricted_full_model(full_model):
    trimmed = copy.deepcopy(full_model)
    vocabulary = TrimmedVocabulary(trimmed, KEPT)
    add_per_sample_nll(trimmed)
    assert sum(p.numel() for p in trimmed.parameters()) < sum(p.numel() for p in full_model.parameters())

    batch = batch_of(KEPT)
    logits = full_model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    outside = torch.ones(logits.shape[-1], dtype=torch.bool)
    outside[KEPT] = False
    logits = logits.masked_fill(outside, -torch.inf)
    expected = torch.stack(
        [
            F.cross_entropy(row[:-1], labels[1:], ignore_index=IGNORE)
            for row, labels in zip(logits, batch["nll_labels"], strict=True)
        ]
    )
    expected.sum().backward()

    local = {**batch, "input_ids": torch.tensor([vocabulary.to_local(row) for row in batch["input_ids"].tolist()])}
    local["nll_labels"] = torch.where(batch["nll_labels"] == IGNORE, IGNORE, local["input_ids"])
    nll = trimmed(**local)["nll"]
    nll.sum().backward()

    torch.testing.assert_close(nll, expected, rtol=1e-5, atol=1e-5)
    theirs = dict(full_model.named_parameters())
    assert [name for name, _ in trimmed.named_parameters()] == list(theirs)
    for name, parameter in trimmed.named_parameters():
        truth = theirs[name].grad
        if parameter.shape != theirs[name].shape:
            assert not truth[outside].any(), name
            truth = truth[KEPT]
        torch.testing.assert_close(parameter.grad, truth, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_full_state_dict_puts_trained_rows_among_the_untouched(full_model):
    trimmed = copy.deepcopy(full_model)
    vocabulary = TrimmedVocabulary(trimmed, KEPT)
    with torch.no_grad():
        for parameter in trimmed.parameters():
            parameter.add_(0.5)
    state = vocabulary.full_state_dict(trimmed.state_dict())
    before = full_model.state_dict()
    assert set(state) == set(before)
    embedding = trimmed.get_input_embeddings().weight
    rows = 0
    for name, value in before.items():
        assert state[name].shape == value.shape, name
        if value.shape[:1] == (full_model.config.vocab_size,):
            rows += 1
            untouched = [i for i in range(len(value)) if i not in KEPT]
            assert torch.equal(state[name][untouched], value[untouched]), name
            torch.testing.assert_close(state[name][KEPT], value[KEPT] + 0.5)
    assert rows == 2
    assert embedding.shape[0] == len(KEPT)
    for name, value in vocabulary.trimmed_state_dict(state).items():
        assert torch.equal(value, trimmed.state_dict()[name]), name


def test_output_bias_is_trimmed_too():
    model = tiny_models.make_llama()
    bias = nn.Parameter(torch.randn(model.config.vocab_size))
    model.lm_head.bias = bias
    vocabulary = TrimmedVocabulary(model, KEPT)
    assert torch.equal(model.lm_head.bias, bias[KEPT])
    assert torch.equal(vocabulary.full_state_dict(model.state_dict())["lm_head.bias"], bias)


def test_ids_round_trip():
    vocabulary = TrimmedVocabulary(tiny_models.make_gpt2(), [9, 4, 4, 7])
    assert len(vocabulary) == 3
    assert vocabulary.to_local([4, 7, 9]) == [0, 1, 2]
    assert vocabulary.to_full([2, 0]) == [9, 4]
    assert vocabulary.to_local([4, 5, 9]) == [0, 2], "without an unknown id other tokens are left out"


def test_unknown_id_stands_for_tokens_outside():
    vocabulary = TrimmedVocabulary(tiny_models.make_gpt2(), [3, 4, 9], unknown_id=3)
    assert vocabulary.to_local([4, 5, 9]) == [1, 0, 2]


@pytest.mark.parametrize("kept", [[], [-1, 2], [3, 64]])
def test_kept_ids_outside_the_vocabulary(kept):
    with pytest.raises(UserError, match="63|64"):
        TrimmedVocabulary(tiny_models.make_gpt2(), kept)


def test_full_config_leaves_the_model_alone():
    model = tiny_models.make_gemma3()
    vocabulary = TrimmedVocabulary(model, KEPT)
    assert vocabulary.full_config(model.config).vocab_size == 64
    assert model.config.vocab_size == len(KEPT)


def test_outside_probability_is_the_mass_of_the_other_tokens():
    logits = torch.randn(5, 11)
    kept = torch.tensor([0, 3, 4])
    expected = 1 - logits.softmax(dim=-1)[:, kept].sum(dim=-1)
    torch.testing.assert_close(outside_probability(logits, kept), expected)
    assert outside_probability(logits, torch.arange(11)).abs().max() < 1e-6
