# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The learner: fresh heads, resets, features, training steps."""

import pytest
import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from ddg_hf.configs import LearnerArguments
from ddg_hf.errors import UserError
from ddg_hf.models.encoder import TextEncoder
from ddg_hf.models.learner import Learner
from ddg_hf.models.tiny import tiny_encoder_tokenizer
from tests import tiny_models

ROWS = [(text,) for text in tiny_models.SENTENCES]
TOKENIZER = tiny_encoder_tokenizer(ROWS)
LABELS = torch.arange(len(ROWS)) % 3


@pytest.fixture(params=["bert", "roberta"])
def learner(request):
    if request.param == "bert":
        return Learner(tiny_models.make_bert_classifier(3, len(TOKENIZER)), TOKENIZER)
    return Learner(tiny_models.make_roberta_classifier(3, len(TOKENIZER), pad_token_id=0), TOKENIZER)


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in learner.model.state_dict().items()}


def train(learner: Learner, steps: int, *seed_parts) -> list[float]:
    optimizer = torch.optim.AdamW(learner.model.parameters(), lr=1e-2)
    encoded = learner.encode(ROWS)
    return [learner.training_step(optimizer, encoded, LABELS, 4, step, *seed_parts) for step in range(steps)]


def test_reset_puts_the_pretrained_encoder_back(learner):
    before = weights(learner)
    train(learner, 3, 0)
    moved = [name for name, value in weights(learner).items() if not torch.equal(value, before[name])]
    assert any(not name.startswith("classifier") for name in moved), "training must move the encoder"
    learner.reset(0, "trajectory", 0)
    after = weights(learner)
    for name, value in before.items():
        if not name.startswith("classifier"):
            assert torch.equal(after[name], value), name
    train(learner, 2, 0)
    learner.reset(0, "trajectory", 0)
    assert all(torch.equal(value, after[name]) for name, value in weights(learner).items()), "twice the same"


def test_heads_are_drawn_from_their_seeds_alone(learner):
    def head():
        return torch.cat([p.detach().flatten() for p in learner.head.parameters()])

    state = torch.get_rng_state()
    learner.reset(1, "trajectory", 0)
    first = head()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    learner.reset_head(1, "trajectory", 0)
    assert torch.equal(head(), first)
    learner.reset_head(1, "trajectory", 1)
    assert not torch.equal(head(), first)
    learner.reset_head(2, "trajectory", 0)
    assert not torch.equal(head(), first)
    scale = learner.model.config.initializer_range
    drawn = torch.cat([m.weight.flatten() for m in learner.head.modules() if isinstance(m, torch.nn.Linear)])
    assert drawn.std().item() == pytest.approx(scale, rel=0.3)
    assert all(not m.bias.any() for m in learner.head.modules() if isinstance(m, torch.nn.Linear))


@pytest.mark.parametrize("token_budget", [1, 10_000])
def test_head_of_the_features_equals_the_logits(learner, token_budget):
    encoded = learner.encode(ROWS)
    index = [4, 0, 7, 7, 2]
    learner.model.train()
    features = learner.features(encoded, index, token_budget)
    assert learner.model.training, "the mode is restored"
    assert not features.requires_grad
    learner.model.eval()
    batch = learner.tokenizer([ROWS[i][0] for i in index], padding=True, return_tensors="pt")
    torch.testing.assert_close(learner.head(features), learner.model(**batch).logits, rtol=1e-4, atol=1e-5)


def test_predictions_follow_the_logits(learner):
    optimizer = torch.optim.AdamW(learner.model.parameters(), lr=3e-3)
    encoded = learner.encode(ROWS)
    for step in range(30):
        learner.training_step(optimizer, encoded, LABELS, 12, step, 0)
    predicted = learner.predict(encoded, token_budget=60)
    batch = learner.tokenizer([row[0] for row in ROWS], padding=True, return_tensors="pt")
    assert torch.equal(predicted, learner.model(**batch).logits.argmax(-1))
    assert len(set(predicted.tolist())) > 1


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
    train(clone, 2, 0)
    clone.reset_head(5)
    assert all(torch.equal(value, before[name]) for name, value in weights(learner).items())
    assert clone.head is not learner.head
    assert clone.head is dict(clone.model.named_modules())[clone.head_name]
    clone.reset(3)
    learner.reset(3)
    assert all(torch.equal(value, weights(clone)[name]) for name, value in weights(learner).items())


def test_unsupported_head_is_an_error():
    config = DistilBertConfig(vocab_size=400, dim=32, hidden_dim=48, n_layers=1, n_heads=4)
    with pytest.raises(UserError, match="DistilBert"):
        Learner(DistilBertForSequenceClassification(config), TOKENIZER)


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


def test_tiny_tokenizer_is_a_function_of_the_rows():
    vocabularies = [tiny_encoder_tokenizer(ROWS).get_vocab() for _ in range(3)]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]
    assert TOKENIZER(" A warm FILM").input_ids == TOKENIZER("a warm film").input_ids
