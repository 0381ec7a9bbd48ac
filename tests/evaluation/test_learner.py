# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Classifiers trained on small sets, and the summary of what they predicted."""

import itertools
import json

import numpy as np
import pytest
import torch
from scipy import stats

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.evaluation.demonstrations import DemonstrationSet
from ddg_hf.evaluation.learner import (
    LearnerEvaluationArguments,
    LearnerRun,
    evaluate_sets,
    summarise,
    train_and_predict,
)
from ddg_hf.evaluation.statistics import crossed_bootstrap
from ddg_hf.models.learner import Learner
from ddg_hf.models.tiny import tiny_encoder_tokenizer
from tests import tiny_models

WORDS = (("dull", "flat", "bad", "terrible"), ("warm", "funny", "great", "good"))
# Every pair of different words of a label; a third of them is trained on.
PAIRS = [((" ".join(pair),), label) for label in (0, 1) for pair in itertools.permutations(WORDS[label], 2)]
TRAIN, TEST = PAIRS[::3], [pair for i, pair in enumerate(PAIRS) if i % 3]
TEST_ROWS, REFERENCES = zip(*TEST, strict=True)


@pytest.fixture
def learner() -> Learner:
    tokenizer = tiny_encoder_tokenizer([texts for texts, _ in PAIRS])
    return Learner(tiny_models.make_bert_classifier(2, len(tokenizer)), tokenizer)


def arguments(steps: int = 40, **values) -> LearnerEvaluationArguments:
    return LearnerEvaluationArguments(train_steps=steps, **({"learning_rate": 3e-3, "batch_size": 8} | values))


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([value.detach().flatten().clone() for value in learner.model.parameters()])


def test_a_separable_task_is_learnt(learner):
    encoded = learner.encode(TEST_ROWS)
    predictions = train_and_predict(learner, TRAIN, encoded, arguments(), 0)
    assert (predictions == np.array(REFERENCES)).mean() > 0.9
    # The same texts with the labels exchanged: what is learnt is the labels of the set.
    exchanged = [(texts, 1 - label) for texts, label in TRAIN]
    predictions = train_and_predict(learner, exchanged, encoded, arguments(), 0)
    assert (predictions == np.array(REFERENCES)).mean() < 0.1


def test_result_depends_on_the_seed_alone(learner):
    encoded = learner.encode(TEST_ROWS)

    def train(*seed_parts):
        return train_and_predict(learner, TRAIN, encoded, arguments(3), *seed_parts).tolist(), weights(learner)

    predictions, first = train(7, 0, 1)
    state = torch.get_rng_state()
    others = [train(7, 0, k) for k in range(2, 8)]  # leaves the learner trained on something else
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again, second = train(7, 0, 1)
    assert again == predictions and torch.equal(first, second)
    assert not any(torch.equal(first, other) for _, other in others)
    assert any(other != predictions for other, _ in others)


def test_every_set_and_seed(learner):
    sets = {
        2: [DemonstrationSet(0, tuple(TRAIN[:4])), DemonstrationSet(3, tuple(TRAIN[2:6]))],
        1: [DemonstrationSet(0, tuple(TRAIN[1:3]))],
    }
    steps = []
    runs = evaluate_sets(learner, sets, TEST_ROWS, arguments(2, num_seeds=2), 5, steps.append)
    order = [(2, 0, 0), (2, 0, 1), (2, 3, 0), (2, 3, 1), (1, 0, 0), (1, 0, 1)]
    assert [(run.dpc, run.set_id, run.seed) for run in runs] == order
    assert steps == [1] * 6
    rows = {(dpc, member.set_id): member.rows for dpc, members in sets.items() for member in members}
    encoded = learner.encode(TEST_ROWS)
    for run in runs:
        alone = train_and_predict(learner, rows[run.dpc, run.set_id], encoded, arguments(2), 5, run.set_id, run.seed)
        assert run.predictions_Q.tolist() == alone.tolist()
    assert len({tuple(run.predictions_Q) for run in runs}) > 1, "runs that are all alike would show nothing"


# dpc, set, seed, predictions; the references are 0, 1, 1, 0.
RUNS = [
    LearnerRun(dpc, set_id, seed, np.array(predictions))
    for dpc, set_id, seed, predictions in (
        (5, 0, 0, [0, 1, 1, 0]),  # 4 right; F1 of label 1: 2 hits, 0 false alarms, 0 misses
        (5, 0, 1, [0, 0, 1, 1]),  # 2 right; 1 hit, 1 false alarm, 1 miss
        (5, 2, 0, [1, 1, 1, 0]),  # 3 right; 2 hits, 1 false alarm
        (5, 2, 1, [0, 0, 0, 0]),  # 2 right; no hit
        (10, 1, 0, [1, 0, 1, 0]),  # 2 right; 1 hit, 1 false alarm, 1 miss
    )
]
SPEC = TaskSpec(name="words", text_columns=("text",), label_names=("low", "high"), metrics=("f1", "accuracy"))


def test_summary_by_hand():
    results = summarise(RUNS, [0, 1, 1, 0], SPEC)
    assert (results["task"], results["label_names"]) == ("words", ["low", "high"])
    assert [run["num_correct"] for run in results["runs"]] == [4, 2, 3, 2, 2]
    assert [run["accuracy"] for run in results["runs"]] == [1, 0.5, 0.75, 0.5, 0.5]
    assert [run["f1"] for run in results["runs"]] == pytest.approx([1, 2 / 4, 4 / 5, 0, 2 / 4])
    assert [(run["dpc"], run["set"], run["seed"]) for run in results["runs"]] == [
        (5, 0, 0),
        (5, 0, 1),
        (5, 2, 0),
        (5, 2, 1),
        (10, 1, 0),
    ]
    five, ten = results["aggregates"]
    counts = ("dpc", "num_sets", "num_seeds", "num_queries")
    assert [five[key] for key in counts] == [5, 2, 2, 4]
    assert [ten[key] for key in counts] == [10, 1, 1, 4]
    # Shares of right answers over the seeds of each set.
    assert five["accuracy"] == crossed_bootstrap([[1, 0.5, 1, 0.5], [0.5, 0.5, 0.5, 1]]).as_dict()
    assert five["accuracy"]["mean"] == pytest.approx(11 / 16)
    assert five["f1"] == pytest.approx((1 + 0.5 + 0.8 + 0) / 4)
    deviations = np.array([1, 0.5, 0.75, 0.5]) - 11 / 16
    std = np.sqrt((deviations**2).sum() / 3)
    assert five["accuracy_std"] == pytest.approx(std)
    low, high = stats.t.interval(0.95, 3, loc=11 / 16, scale=std / 2)
    assert five["accuracy_over_runs"] == pytest.approx({"mean": 11 / 16, "low": low, "high": high})


def test_summary_of_a_single_run():
    (entry,) = summarise(RUNS[-1:], [0, 1, 1, 0], SPEC)["aggregates"]
    assert entry["accuracy_std"] is None
    assert entry["accuracy_over_runs"] == {"mean": 0.5, "low": None, "high": None}
    assert entry["accuracy"]["low"] < 0.5 < entry["accuracy"]["high"]  # over the test rows
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry
