# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Log-probabilities from tiles of logits are those of the whole row of logits."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import encode_prompts, next_tokens
from ddg_hf.evaluation.icl.next_tokens import NextTokens, plain_output_layer
from ddg_hf.evaluation.icl.scoring import best_labels, generate_answers, score_prompts
from tests.evaluation.icl.helpers import (
    DEMONSTRATIONS,
    QUERIES,
    TEMPLATE,
    make_model,
    uncached_generate,
    uncached_score_labels,
)

POSITIONS, VOCABULARY, HIDDEN = 7, 23, 5
PLAIN = SimpleNamespace()
CAPPED = SimpleNamespace(final_logit_softcapping=2.0, logit_scale=3.0)


@pytest.fixture(params=[(512, 2**20), (2, 8), (3, 23), (1, 1)], ids=["whole", "2x4", "3x7", "1x1"])
def tiles(request, monkeypatch):
    monkeypatch.setattr(next_tokens, "CPU_POSITIONS", request.param[0])
    monkeypatch.setattr(next_tokens, "CPU_TILE", request.param[1])


def make(bias: bool = True, config=PLAIN, dtype=torch.float32) -> tuple[NextTokens, torch.Tensor]:
    """Positions with large logits, and the logits."""
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(HIDDEN, VOCABULARY, bias=bias, dtype=dtype)
    for parameter in layer.parameters():
        parameter.data = 8 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    hidden = torch.randn(POSITIONS, HIDDEN, generator=generator, dtype=dtype)
    logits = layer(hidden).detach()
    if config is CAPPED:
        logits = torch.tanh(3.0 * logits / 2.0) * 2.0
    return NextTokens(hidden, layer, config), logits


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("config", [PLAIN, CAPPED], ids=["plain", "capped"])
@pytest.mark.parametrize("bias", [True, False])
def test_tiles_equal_the_whole(bias, config, dtype, tiles):
    found, logits = make(bias, config, dtype)
    rng = np.random.default_rng(0)
    at, tokens = rng.integers(0, POSITIONS, 60), rng.integers(0, VOCABULARY, 60)
    expected = logits.log_softmax(-1)[at, tokens]
    torch.testing.assert_close(found.logprobs(at, tokens), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.most_likely(), logits.argmax(-1))
    some = torch.tensor([4, 0, 4])
    torch.testing.assert_close(found[some].most_likely(), logits.argmax(-1)[some])
    twice = NextTokens.cat([found, found[some]])
    torch.testing.assert_close(twice.logprobs([POSITIONS], [3])[0], logits.log_softmax(-1)[4, 3], rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_logits_of_a_model_without_a_plain_output_layer():
    _, logits = make()
    before, found = logits.clone(), NextTokens(logits)
    for _ in range(2):  # the logits are not used up
        torch.testing.assert_close(found.logprobs([2, 5], [1, 22]), before.log_softmax(-1)[[2, 5], [1, 22]])
    torch.testing.assert_close(found.most_likely(), before.argmax(-1))


@torch.inference_mode()
def test_no_more_logits_than_a_tile_at_once(monkeypatch):
    monkeypatch.setattr(next_tokens, "CPU_TILE", 16)
    held = []
    linear = torch.nn.functional.linear

    def counted(*args):
        held.append(linear(*args))
        return held[-1].clone()

    found, logits = make()
    monkeypatch.setattr(torch.nn.functional, "linear", counted)
    found.logprobs([0], [0])
    assert max(tile.numel() for tile in held) <= 16 and sum(tile.numel() for tile in held) == logits.numel()


@torch.inference_mode()
def test_of_equal_logits_the_first_token(tiles):
    layer = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False)
    layer.weight.zero_()
    found = NextTokens(torch.ones(POSITIONS, HIDDEN), layer, PLAIN)
    assert found.most_likely().tolist() == [0] * POSITIONS
    torch.testing.assert_close(found.logprobs([3], [9]), torch.tensor([-np.log(VOCABULARY)], dtype=torch.float32))


@torch.inference_mode()
def test_tokens_that_cannot_come(tiles):
    """A model may forbid tokens with minus infinity, here most of them."""
    found, logits = make()
    found.layer.bias[:20] = float("-inf")
    expected = (logits.index_fill(1, torch.arange(20), float("-inf"))).log_softmax(-1)
    torch.testing.assert_close(found.logprobs([1, 6, 6], [3, 21, 22]), expected[[1, 6, 6], [3, 21, 22]])
    torch.testing.assert_close(found.most_likely(), expected.argmax(-1))


@torch.inference_mode()
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("method", [lambda found: found.logprobs([0], [0]), NextTokens.most_likely])
def test_logits_that_are_no_numbers(method, value, tiles):
    found, _ = make()
    found.layer.bias[17] = value
    with pytest.raises(UserError, match="NaN logits; try --dtype float32"):
        method(found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2", "mistral", "gemma3"])
def test_models_with_a_plain_output_layer(family, dtype, tiny_tokenizer):
    model = make_model(family, tiny_tokenizer).to(dtype)
    assert plain_output_layer(model) is model.lm_head


def test_hooks_and_wrappers_are_not_passed_over(tiny_tokenizer):
    model = make_model("gpt2", tiny_tokenizer)
    for module in (model, model.lm_head):
        hook = module.register_forward_hook(lambda module, args, output: output)
        assert plain_output_layer(model) is None
        hook.remove()
        assert plain_output_layer(model) is model.lm_head
        module.forward = module.forward
        assert plain_output_layer(model) is None
        del module.forward
    model.lm_head.__class__ = type("Quantized", (torch.nn.Linear,), {})
    assert plain_output_layer(model) is None


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_lora(tiny_tokenizer):
    """An adapter's model has no base model in the sense of transformers; its own forward is used."""
    peft = pytest.importorskip("peft")
    model = make_model("llama", tiny_tokenizer)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = peft.get_peft_model(model, peft.LoraConfig(init_lora_weights=False, task_type="CAUSAL_LM")).eval()
    assert plain_output_layer(model) is None
    prefix, labels = TEMPLATE.prefix(DEMONSTRATIONS), [" negative", " rather good", " positive"]
    scores_QK = score_prompts(model, encode_prompts(tiny_tokenizer, prefix, QUERIES, labels))
    expected_QK = uncached_score_labels(model, tiny_tokenizer, prefix, QUERIES, labels)
    np.testing.assert_allclose(scores_QK, expected_QK, rtol=0, atol=1e-4)


def test_a_label_token_beyond_the_vocabulary():
    found, _ = make()
    with pytest.raises(UserError, match="the tokenizer has a token 23, but the model knows 23"):
        found.logprobs([0, 0], [1, VOCABULARY])


def test_a_model_that_does_more_with_its_hidden_states(tiny_tokenizer):
    """Its own logits are used then."""

    class Twice(GPT2LMHeadModel):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = 2 * output.logits
            return output

    model = make_model("gpt2", tiny_tokenizer)
    model.__class__ = Twice
    assert plain_output_layer(model) is None
    prefix, labels = TEMPLATE.prefix(DEMONSTRATIONS), [" negative", " rather good", " positive"]
    prompts = encode_prompts(tiny_tokenizer, prefix, QUERIES, labels)
    scores_QK = score_prompts(model, prompts)
    np.testing.assert_allclose(
        scores_QK, uncached_score_labels(model, tiny_tokenizer, prefix, QUERIES, labels), rtol=0, atol=1e-4
    )
    np.testing.assert_array_equal(best_labels(model, prompts).labels_Q, scores_QK.argmax(axis=1))
    answers = generate_answers(model, tiny_tokenizer, prompts, 4)
    assert answers == [uncached_generate(model, tiny_tokenizer, prefix + query, 4) for query in QUERIES]
