# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Gradients at learner snapshots, and the measures of sets."""

import numpy as np
import pytest
import torch

from ddg_hf.configs import LearnerArguments
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import DemonstrationSet
from ddg_hf.evaluation.learner_snapshots import (
    SnapshotArguments,
    gradient_cosines,
    gradient_factors,
    learner_snapshots,
)
from ddg_hf.evaluation.measures import measure_sets
from ddg_hf.models.learner import Learner
from ddg_hf.models.row_gradients import RowGradients
from ddg_hf.selection.gradient_matching import mean_gradient
from tests.models.classifiers import make_learner

SPEC = TaskSpec(name="moods", text_columns=("text",), label_names=("bad", "good"))
TEXTS = [
    *("a dull and empty film", "the plot is a mess", "nothing works in this story", "tired jokes and a weak end"),
    *("a warm and clever film", "the cast is a joy", "everything works in this story", "fresh jokes and a great end"),
]
ROWS = [(text,) for text in TEXTS]
LABELS = [0, 0, 0, 0, 1, 1, 1, 1]
TEACHER = [np.arange(4), np.arange(4, 8)]
SNAPSHOTS = SnapshotArguments(snapshots=3, snapshot_steps=2, snapshot_batch_size=4, snapshot_learning_rate=1e-3)

ONCE = SnapshotArguments(snapshots=1)


def learner(kind="tiny"):
    return Learner.load(LearnerArguments(learner=kind), 2, ROWS)


def head_gradients(model, texts, labels):
    """Mean gradient of the head, by autograd."""
    model.model.eval()
    model.model.zero_grad()
    batch = model.tokenizer([row[0] for row in texts], return_tensors="pt", padding=True)
    if "token_type_ids" in batch and model.model.config.model_type == "roberta":
        batch.pop("token_type_ids")
    loss = torch.nn.functional.cross_entropy(model.model(**batch).logits, torch.tensor(labels))
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.head_parameters().values()))])


@pytest.mark.parametrize("kind", ["tiny", "tiny-roberta"])
def test_cosines_are_those_of_plain_gradients(kind):
    sets = [[(("a clever plot",), 1), (("a dull cast",), 0)], [(("weak",), 0), (("joy",), 1), (("mess",), 0)]]
    found = gradient_cosines(learner(kind), (ROWS, LABELS), TEACHER, sets, SNAPSHOTS, seed=5)
    expected, model = np.zeros(2), learner(kind)
    for _ in learner_snapshots(model, ROWS, LABELS, SNAPSHOTS, 5, "gradient_cosine"):
        for label in (0, 1):
            real = head_gradients(model, [ROWS[i] for i in TEACHER[label]], [label] * 4)
            for s, members in enumerate(sets):
                mine = [texts for texts, y in members if y == label]
                ours = head_gradients(model, mine, [label] * len(mine))
                expected[s] += torch.cosine_similarity(real, ours, dim=0).item() / 6
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_teacher_matches_itself():
    teacher = [[(row, y) for row, y in zip(ROWS, LABELS, strict=True)]]
    found = gradient_cosines(learner(), (ROWS, LABELS), TEACHER, teacher, SNAPSHOTS, seed=1)
    assert found == pytest.approx([1.0], abs=1e-5)


def test_factors_are_the_gradients_of_a_linear_head():
    model, checked = learner(), learner()
    factors = gradient_factors(model, ROWS, LABELS, SNAPSHOTS, seed=2)
    assert len(factors) == 3
    for part, _ in zip(
        factors, learner_snapshots(checked, ROWS, LABELS, SNAPSHOTS, 2, "gradient_selection"), strict=True
    ):
        for i in (0, 5):
            weight = np.outer(part.residuals_NK[i], part.features_NH[i])
            ours = np.concatenate([weight.ravel(), part.residuals_NK[i]])
            assert ours == pytest.approx(head_gradients(checked, [ROWS[i]], [LABELS[i]]).numpy(), abs=1e-5)


def test_factors_of_a_head_without_a_bias():
    """That of GPT-2: its mean gradient has no place for a bias."""
    (part,) = gradient_factors(make_learner("gpt2", num_labels=2), ROWS, LABELS, ONCE, seed=2)
    assert not part.bias
    checked = make_learner("gpt2", num_labels=2)
    next(learner_snapshots(checked, ROWS, LABELS, ONCE, 2, "gradient_selection"))
    real = RowGradients(checked, checked.encode(ROWS), range(8), torch.tensor(LABELS))
    expected = real.gradient(torch.arange(8), torch.full((8,), 1 / 8))
    assert mean_gradient(part.residuals_NK, part.features_NH, part.bias) == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_set_that_lacks_a_label_is_compared_by_those_it_has():
    whole, half = [(("a clever plot",), 1), (("a dull cast",), 0)], [(("a clever plot",), 1)]
    found = gradient_cosines(learner(), (ROWS, LABELS), TEACHER, [whole, half], ONCE, seed=5)
    model = learner()
    next(learner_snapshots(model, ROWS, LABELS, ONCE, 5, "gradient_cosine"))
    real, ours = head_gradients(model, ROWS[4:], LABELS[4:]), head_gradients(model, [half[0][0]], [1])
    assert found[1] == pytest.approx(torch.cosine_similarity(real, ours, dim=0).item(), abs=1e-5)
    assert found[0] != found[1]


def test_a_head_with_layers_has_no_factors():
    with pytest.raises(UserError, match="one linear layer"):
        gradient_factors(learner("tiny-roberta"), ROWS, LABELS, SNAPSHOTS, seed=2)


class Probe:
    """Says that everything is good."""

    def accuracy(self, rows, labels):
        return float(np.mean(np.asarray(labels) == 1))


class Tokenizer:
    def __call__(self, text, add_special_tokens):
        assert not add_special_tokens
        return type("Encoding", (), {"input_ids": text.split()})


def test_measures():
    copied = DemonstrationSet(0, ((ROWS[0], 0), (ROWS[4], 1)))
    fresh = DemonstrationSet(3, ((("one two three",), 0), (("one two four five",), 1), (("six",), 1)))
    arguments = (learner(), TEACHER, Probe(), Tokenizer(), SNAPSHOTS, 0)
    (entry,) = measure_sets({1: [copied, fresh]}, (ROWS, LABELS), SPEC, *arguments)
    assert entry["dpc"] == 1 and entry["sets"] == [0, 3] and entry["rows"] == 5
    assert entry["copies"] == pytest.approx(2 / 5) and entry["near_copies"] == 0
    assert entry["label_consistency"] == pytest.approx([1 / 2, 2 / 3], abs=1e-6)
    assert entry["tokens_per_demonstration"] == pytest.approx([5, 8 / 3], abs=1e-6)
    assert entry["distinct_2"][1] == pytest.approx(4 / 5)
    assert len(entry["gradient_cosine"]) == len(entry["self_bleu"]) == 2


def test_a_set_without_rows_is_named():
    sets = {2: [DemonstrationSet(0, ((ROWS[0], 0), (ROWS[4], 1))), DemonstrationSet(7, ())]}
    arguments = (learner(), TEACHER, Probe(), Tokenizer(), ONCE, 0)
    with pytest.raises(UserError, match="set 7 of dpc_2 has no rows"):
        measure_sets(sets, (ROWS, LABELS), SPEC, *arguments)


@pytest.mark.parametrize("name", ["snapshots", "snapshot_steps", "snapshot_batch_size", "snapshot_learning_rate"])
def test_numbers_must_be_positive(name):
    with pytest.raises(UserError, match=f"--{name} must be positive"):
        SnapshotArguments(**{name: 0})
