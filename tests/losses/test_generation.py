# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Per-sample language-model losses."""

import pytest
import torch
import torch.nn.functional as F

from ddg_hf.losses.generation import chunked_token_nll, label_discrimination_loss, per_sample_sum
from ddg_hf.models.nll import IGNORE, add_per_sample_nll
from tests import tiny_models

VOCABULARY = 13


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    hidden = torch.randn(10, 5, requires_grad=True)
    head = torch.nn.Linear(5, VOCABULARY)
    return hidden, head, torch.randint(0, VOCABULARY, (10,)), torch.rand(10)


# One token a chunk even where a row of logits is larger than the bound; 3 tokens, uneven; one chunk.
@pytest.mark.parametrize("max_logits", [1, 3 * VOCABULARY, 10 * VOCABULARY])
def test_chunks_change_neither_values_nor_gradients(tokens, max_logits):
    hidden, head, targets, weights = tokens
    held = []

    def logits_fn(chunk):
        held.append(chunk.shape[0] * VOCABULARY)
        return head(chunk).tanh() * 3

    parameters = [hidden, head.weight, head.bias]
    plain = F.cross_entropy(head(hidden).tanh() * 3, targets, reduction="none")
    expected = torch.autograd.grad((weights * plain).sum(), parameters)
    chunked = chunked_token_nll(hidden, targets, logits_fn, VOCABULARY, max_logits)
    gradients = torch.autograd.grad((weights * chunked).sum(), parameters)

    torch.testing.assert_close(chunked, plain)
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert max(held) <= max(max_logits, VOCABULARY)


def test_chunks_without_gradient(tokens):
    hidden, head, targets, _ = tokens
    with torch.no_grad():
        chunked = chunked_token_nll(hidden, targets, head, VOCABULARY, max_logits=VOCABULARY * 2)
    assert not chunked.requires_grad
    torch.testing.assert_close(chunked, F.cross_entropy(head(hidden), targets, reduction="none"))


def test_low_precision_is_raised_to_float32(tokens):
    hidden, head, targets, _ = tokens
    nll = chunked_token_nll(hidden.bfloat16(), targets, head.bfloat16(), VOCABULARY)
    assert nll.dtype == torch.float32


def test_per_sample_sum():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    result = per_sample_sum(values, torch.tensor([2, 0, 2, 0]), 4)
    assert result.tolist() == [6.0, 0.0, 4.0, 0.0]


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2", "gemma3"])
def test_loss_of_a_row_does_not_depend_on_its_neighbours(architecture):
    model = add_per_sample_nll(tiny_models.CAUSAL_BUILDERS[architecture]())
    lengths = [12, 3, 7]
    rows = [torch.randint(4, 64, (1, n)) for n in lengths]

    def labels_of(ids):
        labels = ids.clone()
        labels[:, 0] = IGNORE
        return labels

    alone = torch.cat(
        [model(input_ids=r, attention_mask=torch.ones_like(r), nll_labels=labels_of(r))["nll"] for r in rows]
    )
    plain = torch.stack([F.cross_entropy(model(input_ids=r).logits[0, :-1], r[0, 1:]) for r in rows])
    # Padding holds an id that occurs as a target, too: only the length says what is padding.
    batch = {
        "input_ids": torch.cat([F.pad(r, (0, 12 - r.shape[1]), value=2) for r in rows]),
        "attention_mask": torch.cat([F.pad(torch.ones_like(r), (0, 12 - r.shape[1])) for r in rows]),
        "nll_labels": torch.cat([F.pad(labels_of(r), (0, 12 - r.shape[1]), value=IGNORE) for r in rows]),
    }
    together = model(**batch)
    torch.testing.assert_close(together["nll"], alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone, plain, rtol=1e-5, atol=1e-5)
    assert together["num_targets"].tolist() == [11, 2, 6]


def test_discrimination_loss_is_the_formula():
    log_likelihood = torch.tensor([[-10.0, -12.0, -11.0], [-3.0, -1.0, -2.0]])
    p = log_likelihood.exp()
    expected = -(p[:, 0].log() - p.sum(dim=1).log())
    torch.testing.assert_close(label_discrimination_loss(log_likelihood), expected)


def test_discrimination_loss_is_stable_for_long_texts():
    loss = label_discrimination_loss(torch.tensor([[-2000.0, -2001.0]]))
    torch.testing.assert_close(loss, torch.tensor([-1.0]).exp().log1p())
