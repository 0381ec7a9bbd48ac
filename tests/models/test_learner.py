# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The learner: fresh heads, resets, features, training steps."""

import numpy as np
import pytest
import torch

from ddg_hf.configs import LearnerArguments
from ddg_hf.errors import UserError
from ddg_hf.models.encoder import TextEncoder
from ddg_hf.models.learner import Learner
from ddg_hf.models.tiny import tiny_encoder_tokenizer
from tests import tiny_models
from tests.models.classifiers import (
    DECODERS,
    ENCODER_TOKENIZER,
    KINDS,
    LINEAR,
    make_classifier,
    make_learner,
)

ROWS = [(text,) for text in tiny_models.SENTENCES]
TOKENIZER = ENCODER_TOKENIZER
LABELS = torch.arange(len(ROWS)) % 3


HEADS = {
    "bert": ["classifier"],
    "roberta": ["classifier"],
    "electra": ["classifier"],
    "distilbert": ["pre_classifier", "classifier"],
    "modernbert": ["head", "classifier"],
    "modernbert-mean": ["head", "classifier"],
    "deberta": ["pooler", "classifier"],
    "gpt2": ["score"],
    "qwen2": ["score"],
    "llama": ["score"],
    "xlnet": ["sequence_summary", "logits_proj"],
}


@pytest.fixture(params=["bert", "roberta", "modernbert", "gpt2"])
def learner(request):
    return make_learner(request.param)


@pytest.fixture(params=list(KINDS))
def any_learner(request):
    return make_learner(request.param)


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in learner.model.state_dict().items()}


def train(learner: Learner, steps: int, *seed_parts) -> list[float]:
    optimizer = torch.optim.AdamW(learner.model.parameters(), lr=1e-2)
    encoded = learner.encode(ROWS)
    return [learner.training_step(optimizer, encoded, LABELS, 4, step, *seed_parts) for step in range(steps)]


def test_reset_puts_the_pretrained_encoder_back(any_learner):
    learner, head = any_learner, any_learner.head_parameters()
    before = weights(learner)
    train(learner, 3, 0)
    moved = [name for name, value in weights(learner).items() if not torch.equal(value, before[name])]
    assert len(set(moved) - set(head)) > 5, "training must move the encoder"
    learner.reset(0, "trajectory", 0)
    after = weights(learner)
    for name, value in before.items():
        if name not in head:
            assert torch.equal(after[name], value), name
    train(learner, 2, 0)
    learner.reset(0, "trajectory", 0)
    assert all(torch.equal(value, after[name]) for name, value in weights(learner).items()), "twice the same"


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_is_everything_outside_the_base_model(kind):
    learner = make_learner(kind)
    assert list(learner.head_modules) == HEADS[kind]
    everything = learner.parameters_for("all")
    assert list(everything) == [name for name, _ in learner.model.named_parameters()]
    base = {id(p) for p in learner.base.parameters()}
    outside = {name: p for name, p in everything.items() if id(p) not in base}
    assert learner.head_parameters() == learner.parameters_for("head") == outside
    assert list(learner.head_parameters()) == list(outside), "in the order of the model"
    assert learner.base_is_below_head
    assert (learner.linear_head is None) == (kind not in LINEAR)
    with pytest.raises(ValueError, match="'head' or 'all'"):
        learner.parameters_for("body")


def test_heads_are_drawn_from_their_seeds_alone(any_learner):
    learner = any_learner

    def head():
        return torch.cat([p.detach().flatten() for p in learner.head_parameters().values()])

    before, state = weights(learner), torch.get_rng_state()
    learner.reset(1, "trajectory", 0)
    first = head()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    with torch.no_grad():
        for parameter in learner.head_parameters().values():
            parameter.add_(1)
    learner.reset_head(1, "trajectory", 0)
    assert torch.equal(head(), first)
    learner.reset_head(1, "trajectory", 1)
    assert not torch.equal(head(), first)
    learner.reset_head(2, "trajectory", 0)
    assert not torch.equal(head(), first)
    scale = learner.model.config.initializer_range
    for module in learner.head.modules():
        if isinstance(module, torch.nn.Linear):
            assert module.weight.std().item() == pytest.approx(scale, rel=0.3)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, torch.nn.LayerNorm):
            assert (module.weight == 1).all()
            assert module.bias is None or not module.bias.any()
    outside = set(before) - set(learner.head_parameters())
    assert all(torch.equal(weights(learner)[name], before[name]) for name in outside)


@pytest.mark.parametrize("token_budget", [1, 10_000])
@pytest.mark.parametrize("kind", LINEAR)
def test_head_of_the_features_equals_the_logits(kind, token_budget):
    learner = make_learner(kind)
    assert learner.linear_head is learner.head
    encoded = learner.encode(ROWS)
    index = [4, 0, 7, 7, 2]
    learner.model.train()
    features = learner.features(encoded, index, token_budget)
    assert learner.model.training, "the mode is restored"
    assert not features.requires_grad
    learner.model.eval()
    batch = learner.tokenizer([ROWS[i][0] for i in index], padding=True, return_tensors="pt")
    assert features.shape == (5, 32)
    torch.testing.assert_close(learner.head(features), learner.model(**batch).logits, rtol=1e-4, atol=1e-5)


def test_predictions_follow_the_logits(learner):
    optimizer = torch.optim.AdamW(learner.model.parameters(), lr=3e-3)
    encoded = learner.encode(ROWS)
    for step in range(30):
        learner.training_step(optimizer, encoded, LABELS, 12, step, 0)
    predicted = learner.predict(encoded, token_budget=60)
    learner.model.eval()
    batch = learner.tokenizer([row[0] for row in ROWS], padding=True, return_tensors="pt")
    assert torch.equal(predicted, learner.model(**batch).logits.argmax(-1))
    assert len(set(predicted.tolist())) > 1


def gradients_of_a_step(learner: Learner, token_budget: int) -> tuple[float, torch.Tensor, int]:
    """Loss and gradient of a training step on all rows, and the number of its micro-batches."""
    calls, gradient = [], []

    class Keep(torch.optim.SGD):
        def step(self, closure=None):
            gradient.extend(p.grad.flatten() for p in self.param_groups[0]["params"] if p.grad is not None)

    handle = learner.model.register_forward_hook(lambda *_: calls.append(1))
    optimizer = Keep(learner.model.parameters(), lr=0.1)
    loss = learner.training_step(optimizer, learner.encode(ROWS), LABELS, len(ROWS), 3, 0, token_budget=token_budget)
    handle.remove()
    assert all(p.grad is None for p in learner.model.parameters())
    return loss.item(), torch.cat(gradient), len(calls)


def test_micro_batches_sum_to_the_step_of_the_whole_batch(any_learner):
    any_learner.model.double()
    for module in any_learner.model.modules():
        if isinstance(module, torch.nn.Dropout) or type(module).__name__ == "StableDropout":
            module.p = 0.0
        if hasattr(module, "attention_dropout") and isinstance(module.attention_dropout, float):
            module.attention_dropout = 0.0
        if "dropout" in module.__dict__ and isinstance(module.dropout, float):
            module.dropout = 0.0
    loss, gradient, calls = gradients_of_a_step(any_learner, token_budget=10_000)
    split_loss, split_gradient, split_calls = gradients_of_a_step(any_learner, token_budget=30)
    assert calls == 1 and split_calls >= 4
    assert split_loss == pytest.approx(loss, rel=1e-6)
    # transformers computes norms and rotary embeddings in float32 whatever the type of the model
    assert (split_gradient - gradient).norm() <= 1e-6 * gradient.norm()
    with torch.no_grad():
        any_learner.model.eval()
        batch = any_learner.tokenizer([row[0] for row in ROWS], padding=True, return_tensors="pt")
        logits = any_learner.model(**batch).logits
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, LABELS).item(), rel=1e-6)


def test_micro_batches_have_dropout_of_their_own():
    """Rows that are alike meet different masks, in one micro-batch or in two."""
    learner = make_learner("bert", hidden_dropout_prob=0.5)
    encoded, labels, outputs = learner.encode(ROWS[:1] * 2), torch.tensor([0, 0]), []
    learner.model.register_forward_hook(lambda module, args, output: outputs.extend(output.logits.detach()))
    optimizer = torch.optim.SGD(learner.model.parameters(), lr=0.0)
    for budget in (1, 1000):
        outputs.clear()
        for step in (0, 1):
            learner.training_step(optimizer, encoded, labels, 2, step, 0, token_budget=budget)
        distinct = {tuple(logits.tolist()) for logits in outputs}
        assert len(distinct) == 4, "between rows and between steps"


def test_batches_are_split_on_a_cpu(monkeypatch):
    learner, calls = make_learner("bert"), []
    optimizer = torch.optim.SGD(learner.model.parameters(), lr=0.0)
    learner.model.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setattr("ddg_hf.models.learner.CPU_TRAINING_TOKEN_BUDGET", 30)
    learner.training_step(optimizer, learner.encode(ROWS), LABELS, 12, 0, 0)
    assert len(calls) > 3
    calls.clear()
    learner.training_step(optimizer, learner.encode(ROWS), LABELS, 12, 0, 0, token_budget=10_000)
    assert len(calls) == 1


def test_training_steps_are_functions_of_seed_and_step(learner):
    learner.reset(0)
    losses = train(learner, 4, 7)
    first = weights(learner)
    learner.reset(0)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert train(learner, 4, 7) == losses
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, first[name]) for name, value in weights(learner).items())
    learner.reset(0)
    assert train(learner, 4, 8) != losses


def test_training_lowers_the_loss(learner):
    learner.reset(0)
    optimizer = torch.optim.AdamW(learner.model.parameters(), lr=3e-3)
    encoded = learner.encode(ROWS)
    losses = [learner.training_step(optimizer, encoded, LABELS, 12, step, 0) for step in range(30)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_clone_is_independent(learner):
    clone = learner.clone()
    before = weights(learner)
    batch = learner.tokenizer(ROWS[0][0], return_tensors="pt")
    assert torch.equal(clone.model(**batch).logits, learner.model(**batch).logits)
    assert clone.linear_head is (clone.head if learner.linear_head is not None else None)
    train(clone, 2, 0)
    clone.reset_head(5)
    assert all(torch.equal(value, before[name]) for name, value in weights(learner).items())
    assert list(clone.head_modules) == list(learner.head_modules)
    for name, module in clone.head_modules.items():
        assert module is clone.model.get_submodule(name) is not learner.head_modules[name]
    clone.reset(3)
    learner.reset(3)
    assert all(torch.equal(value, weights(clone)[name]) for name, value in weights(learner).items())


def test_the_head_can_be_named(tmp_path):
    make_classifier("distilbert").save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    arguments = LearnerArguments(learner=str(tmp_path), learner_head="classifier , distilbert.transformer.layer.1.ffn")
    learner = Learner.load(arguments, 3)
    assert list(learner.head_modules) == ["classifier", "distilbert.transformer.layer.1.ffn"]
    assert len(learner.head_parameters()) == 6
    assert not learner.base_is_below_head and learner.linear_head is None
    assert list(Learner.load(LearnerArguments(learner=str(tmp_path)), 3).head_modules) == HEADS["distilbert"]


@pytest.mark.parametrize("names", [["clasifier"], ["classifier", "roberta.nothing"], [""]])
def test_names_of_no_module_are_an_error(names):
    with pytest.raises(
        UserError, match=rf"modules: roberta, classifier\) has no module '{names[-1]}'.*--learner_head"
    ):
        make_learner("roberta", head=names)


def test_heads_that_are_not_recognised_are_an_error():
    model = make_classifier("bert")
    model.base_model_prefix = "transformer"
    with pytest.raises(
        UserError, match=r"BertForSequenceClassification \(modules: bert, classifier\).*--learner_head"
    ) as e:
        Learner(model, TOKENIZER)
    assert "\n" not in str(e.value)
    learner = Learner(model, TOKENIZER, head=["classifier"])
    assert list(learner.head_parameters()) == ["classifier.weight", "classifier.bias"]
    assert not learner.base_is_below_head

    with pytest.raises(UserError, match="BertModel.*not recognised.*--learner_head"):
        Learner(tiny_models.make_bert(len(TOKENIZER)), TOKENIZER)

    model = make_classifier("bert")
    model.add_module("mixer", torch.nn.Conv1d(2, 2, 1))
    with pytest.raises(UserError, match=r"modules: bert, classifier, mixer\).*'mixer' \(Conv1d\).*--learner_head"):
        Learner(model, TOKENIZER)
    assert list(Learner(model, TOKENIZER, head=["classifier"]).head_modules) == ["classifier"]


def test_a_linear_layer_that_is_not_the_last_is_no_linear_head():
    model = make_classifier("bert")
    forward = model.forward

    def capped(**batch):
        output = forward(**batch)
        output.logits = 0.1 * torch.tanh(output.logits)
        return output

    model.forward = capped
    learner = Learner(model, TOKENIZER)
    assert isinstance(learner.head, torch.nn.Linear) and learner.linear_head is None
    for name in ("pre_classifier", "distilbert.transformer.layer.0.ffn.lin1"):
        learner = make_learner("distilbert", head=[name])
        assert isinstance(learner.head, torch.nn.Linear) and learner.linear_head is None


@pytest.mark.parametrize("kind", DECODERS)
def test_decoders_read_the_last_token_of_a_row(kind):
    tokenizer = tiny_models.build_tiny_tokenizer()
    tokenizer.padding_side = "left"
    model = make_classifier(kind)
    assert model.config.pad_token_id is None
    learner = Learner(model, tokenizer)
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.padding_side == "left", "the caller's tokenizer is left alone"
    encoded = learner.encode(ROWS)
    together = learner.head(learner.features(encoded, range(len(ROWS))))
    for row, logits in zip(ROWS, together, strict=True):
        hidden = learner.base(input_ids=torch.tensor([tokenizer(row[0]).input_ids])).last_hidden_state
        torch.testing.assert_close(learner.head(hidden[0, -1]), logits, rtol=1e-4, atol=1e-5)


def test_a_text_without_tokens_can_be_classified(any_learner):
    encoded = any_learner.encode([("",), *ROWS])
    assert all(ids for ids in encoded["input_ids"])
    alone, together = any_learner.encode([("",)]), any_learner.predict(encoded)
    assert any_learner.predict(alone)[0] == together[0]
    assert len(alone["input_ids"][0]) == max(1, len(any_learner.tokenizer("").input_ids))
    assert alone["attention_mask"] == [[1] * len(alone["input_ids"][0])]


def test_inputs_that_a_model_does_not_take_are_dropped():
    tokenizer = tiny_models.build_encoder_tokenizer()
    assert "token_type_ids" in tokenizer("a")
    with_types = Learner(make_classifier("bert", vocab_size=len(tokenizer)), tokenizer)
    without = Learner(make_classifier("distilbert", vocab_size=len(tokenizer)), tokenizer)
    assert "token_type_ids" in with_types.encode(ROWS) and "token_type_ids" not in without.encode(ROWS)
    without.predict(without.encode(ROWS))


def too_small(tmp_path, missing: int) -> str:
    tiny_models.make_bert_classifier(2, len(TOKENIZER) - missing).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    return str(tmp_path)


def test_tokenizers_that_do_not_fit_are_an_error(tmp_path):
    size = len(TOKENIZER)
    message = rf"tokenizer makes {size} ids .*embeddings for {size - 1};.*resize_token_embeddings"
    with pytest.raises(UserError, match=message) as error:
        Learner(tiny_models.make_bert_classifier(2, size - 1), TOKENIZER)
    assert "\n" not in str(error.value)
    path = too_small(tmp_path, missing=1)
    with pytest.raises(UserError, match=message):
        Learner.load(LearnerArguments(learner=path), 2)
    with pytest.raises(UserError, match=message):
        TextEncoder(LearnerArguments(learner=path))
    Learner(tiny_models.make_bert_classifier(2, size), TOKENIZER)
    Learner(tiny_models.make_bert_classifier(2, size + 8), TOKENIZER)


def test_an_added_padding_token_without_embedding_is_an_error():
    tokenizer = tiny_models.build_tiny_tokenizer()
    model = make_classifier("gpt2", vocab_size=len(tokenizer))
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    with pytest.raises(UserError, match=rf"<\|pad\|>.*embeddings for {len(tokenizer) - 1}"):
        Learner(model, tokenizer)


def test_a_tokenizer_that_cannot_pad_is_an_error():
    tokenizer = tiny_models.build_tiny_tokenizer()
    tokenizer.pad_token = None
    with pytest.raises(UserError, match="pad token"):
        Learner(make_classifier("gpt2"), tokenizer)


def test_tiny_learner_and_pairs():
    rows = [("a film", "it was good"), ("a long plot", "it was bad, too bad")]
    learner = Learner.load(LearnerArguments(learner="tiny"), 4, rows)
    assert learner.head.out_features == 4
    encoded = learner.encode(rows)
    expected = learner.tokenizer([r[0] for r in rows], [r[1] for r in rows])
    assert encoded["input_ids"] == expected["input_ids"]
    assert learner.features(encoded, [1, 0]).shape == (2, 128)


def test_long_rows_are_cut():
    learner = Learner(tiny_models.make_bert_classifier(2, len(TOKENIZER)), TOKENIZER, max_length=8)
    assert [len(ids) for ids in learner.encode([("film " * 50,), ("film",)])["input_ids"]] == [8, 3]


def test_learner_with_a_head_of_another_size_is_loaded(tmp_path):
    tiny_models.make_bert_classifier(5, len(TOKENIZER)).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    learner = Learner.load(LearnerArguments(learner=str(tmp_path)), 3)
    assert learner.head.out_features == 3
    with pytest.raises(UserError, match="cannot load"):
        Learner.load(LearnerArguments(learner=str(tmp_path / "nowhere")), 3)


def test_embeddings_are_mean_pooled_over_the_row_alone(tmp_path):
    tiny_models.make_bert(len(TOKENIZER)).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    encoder = TextEncoder(LearnerArguments(learner=str(tmp_path)), device="cpu")
    together = torch.tensor(encoder.embed(ROWS, token_budget=100))
    for row, embedding in zip(ROWS[:4], together, strict=False):
        hidden = encoder.model(**encoder.tokenizer(row[0], return_tensors="pt")).last_hidden_state
        torch.testing.assert_close(embedding, hidden[0].mean(0).detach(), rtol=1e-4, atol=1e-5)
    assert encoder.embed([]).shape == (0, 32)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_of_the_encoder_have_the_type_of_the_learner(tmp_path, dtype):
    # Of a checkpoint in bfloat16 too, which is slow where there are no units for it.
    tiny_models.make_bert(len(TOKENIZER)).to(torch.bfloat16).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    arguments = LearnerArguments(learner=str(tmp_path), learner_dtype=dtype)
    encoder, learner = TextEncoder(arguments, device="cpu"), Learner.load(arguments, 2)
    assert encoder.model.dtype == learner.model.dtype == getattr(torch, dtype)
    assert encoder.embed(ROWS[:2]).dtype == np.float32


def test_tiny_tokenizer_is_a_function_of_the_rows():
    vocabularies = [tiny_encoder_tokenizer(ROWS).get_vocab() for _ in range(3)]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]
    assert TOKENIZER(" A warm FILM").input_ids == TOKENIZER("a warm film").input_ids
