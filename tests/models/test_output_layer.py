# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Whether a model's logits are what the output layer and the known transformations make of its hidden states."""

import pytest
import torch
from transformers import GPT2LMHeadModel

from ddg_hf.models.output_layer import explains_logits
from tests import tiny_models


def changed(change, dtype=torch.float32):
    """A tiny GPT-2 with large logits that does `change` to them."""

    class Changed(GPT2LMHeadModel):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = change(output.logits)
            return output

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = tiny_models.make_gpt2().to(dtype)
        model.transformer.ln_f.weight.data *= 20
    model.__class__ = Changed
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_model_does_by_itself_is_noticed(dtype):
    assert explains_logits(changed(lambda logits: logits, dtype))
    assert not explains_logits(changed(lambda logits: 1.01 * logits, dtype))
    with torch.no_grad():
        largest = float(changed(lambda logits: logits)(torch.tensor([[1, 2, 3]])).logits.abs().max())
    cap = 3 * largest  # as soft as caps are
    assert not explains_logits(changed(lambda logits: cap * torch.tanh(logits / cap), dtype))


def test_forbidden_tokens_are_not_explained():
    assert not explains_logits(changed(lambda logits: logits.index_fill(-1, torch.tensor([3]), float("-inf"))))


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_left_as_it_was(training):
    model = changed(lambda logits: logits).train(training)
    assert explains_logits(model)
    assert model.training is training and model.transformer.drop.training is training
