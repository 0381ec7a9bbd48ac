# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The forward with per-sample losses leaves the model what it was."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, CohereConfig, CohereForCausalLM, GPT2LMHeadModel

from ddg_hf.errors import UserError
from ddg_hf.models.nll import IGNORE, add_per_sample_nll
from tests import tiny_models


@pytest.mark.parametrize("architecture", tiny_models.CAUSAL_BUILDERS)
def test_forward_without_labels_is_untouched(architecture):
    plain = tiny_models.CAUSAL_BUILDERS[architecture]()
    model = add_per_sample_nll(tiny_models.CAUSAL_BUILDERS[architecture]())
    ids = torch.randint(4, 64, (2, 9))
    ours, theirs = model(input_ids=ids, labels=ids), plain(input_ids=ids, labels=ids)
    assert type(ours) is type(theirs)
    assert torch.equal(ours.logits, theirs.logits)
    assert torch.equal(ours.loss, theirs.loss)
    assert inspect.signature(model.forward) == inspect.signature(plain.forward)
    assert isinstance(model, type(plain))
    assert type(model).__name__ == type(plain).__name__


@pytest.mark.parametrize("architecture", tiny_models.CAUSAL_BUILDERS)
def test_checkpoint_names_the_original_architecture(architecture, tmp_path):
    model = add_per_sample_nll(tiny_models.CAUSAL_BUILDERS[architecture]())
    model.save_pretrained(tmp_path)
    plain_class = type(tiny_models.CAUSAL_BUILDERS[architecture]())
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is plain_class
    assert loaded.config.architectures == [plain_class.__name__]


def test_soft_capping_is_honoured():
    ids = torch.randint(4, 64, (1, 9))
    labels = ids.clone()
    labels[:, 0] = IGNORE
    model = add_per_sample_nll(tiny_models.make_gemma3(final_logit_softcapping=1.0))
    uncapped = add_per_sample_nll(tiny_models.make_gemma3())
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "nll_labels": labels}
    expected = F.cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:])
    torch.testing.assert_close(model(**batch)["nll"][0], expected)
    assert abs(uncapped(**batch)["nll"][0] - expected) > 0.01


def test_logit_scale_is_honoured():
    config = CohereConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, logit_scale=0.1, initializer_range=0.5,
    )  # fmt: skip
    model = add_per_sample_nll(CohereForCausalLM(config).eval())
    ids = torch.randint(4, 64, (1, 9))
    result = model(input_ids=ids, attention_mask=torch.ones_like(ids), nll_labels=ids)
    expected = F.cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:])
    torch.testing.assert_close(result["nll"][0], expected)


def test_unknown_logits_are_an_error():
    class Shifted(GPT2LMHeadModel):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = output.logits.flip(-1)
            return output

    with pytest.raises(UserError, match="Shifted"):
        add_per_sample_nll(Shifted(tiny_models.make_gpt2().config))


def test_adding_twice_changes_nothing():
    model = add_per_sample_nll(tiny_models.make_gpt2())
    assert type(add_per_sample_nll(model)).__mro__.count(GPT2LMHeadModel) == 1
    assert len([c for c in type(model).__mro__ if c.__name__ == "PerSampleNLLMixin"]) == 1


def test_row_without_targets_has_loss_zero():
    model = add_per_sample_nll(tiny_models.make_gpt2())
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    labels = torch.tensor([[IGNORE] * 3, [IGNORE, 9, 10]])
    result = model(input_ids=ids, attention_mask=torch.ones_like(ids), nll_labels=labels)
    assert result["nll"][0] == 0 and result["nll"][1] > 0
    assert result["num_targets"].tolist() == [0, 2]
