# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Validation of a generator by classifiers trained on its sets, and the choice of the best checkpoint by it."""

import pytest
import torch

from ddg_hf.evaluation.validation import SetValidator
from ddg_hf.trainer.processes import Processes
from tests.trainer import helpers

ARGUMENTS = {
    "validation_sets": 2,
    "validation_dpc": 2,
    "validation_learner_steps": 3,
    "validation_rows": 20,
    "max_sampling_rounds": 50,
}


def make_trainer(pretrained, output_dir, **arguments):
    learner = helpers.make_learner()
    trainer = helpers.make_distillation_trainer(pretrained, output_dir, learner, **(ARGUMENTS | arguments))
    rows, labels = helpers.make_rows(30, relevant=0.9, seed=5)
    embed = helpers.make_encoder(learner).embed
    trainer.validator = SetValidator(learner.clone(), embed, rows, labels, ["accuracy", "f1"], trainer.args)
    return trainer


def test_measures_are_repeatable_and_leave_the_run_alone(pretrained, tmp_path):
    trainer = make_trainer(pretrained, tmp_path)
    before = torch.random.get_rng_state()
    first = trainer.validator(trainer.generator, Processes())
    assert set(first) == {"learner_accuracy", "learner_f1"}
    assert 0 <= first["learner_accuracy"] <= 1
    assert trainer.validator(trainer.generator, Processes()) == first
    assert torch.equal(torch.random.get_rng_state(), before)


def test_sets_are_shared_among_processes(pretrained, tmp_path):
    validator = make_trainer(pretrained, tmp_path).validator
    generator = helpers.Generator.load(pretrained, helpers.GeneratorArguments())
    measured = []
    measure = validator._measure
    validator._measure = lambda g, number: measured.append(number) or measure(g, number)
    whole = validator(generator, Processes())
    assert measured == [0, 1]
    other = [(0, measure(generator, 0))]
    half = Processes()
    half.index, half.count, half.gather = 1, 2, lambda pairs: dict(other) | dict(pairs)
    measured.clear()
    assert validator(generator, half) == whole
    assert measured == [1]


def test_best_checkpoint_is_kept_and_loaded(pretrained, tmp_path, monkeypatch):
    trainer = make_trainer(
        pretrained,
        tmp_path,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        save_total_limit=1,
        load_best_model_at_end=True,
        max_steps=4,
    )
    assert trainer.args.metric_for_best_model == "learner_accuracy" and trainer.args.greater_is_better
    accuracies = iter([0.2, 0.9, 0.4, 0.5])
    at_best = {}

    def measured(generator, processes):
        accuracy = next(accuracies)
        if accuracy == 0.9:
            at_best.update(helpers.weights(trainer))
        return {"learner_accuracy": accuracy}

    trainer.validator = measured
    trainer.train()
    assert trainer.state.best_metric == pytest.approx(0.9)
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-2")
    helpers.assert_equal(helpers.weights(trainer), at_best)


def test_validation_is_logged_at_every_evaluation(pretrained, tmp_path):
    plain = helpers.make_distillation_trainer(pretrained, tmp_path / "a", max_steps=4)
    plain.train()
    trainer = make_trainer(pretrained, tmp_path / "b", eval_strategy="steps", eval_steps=2, max_steps=4)
    trainer.train()
    measured = [line for line in trainer.state.log_history if "eval_learner_accuracy" in line]
    assert [line["step"] for line in measured] == [2, 4]
    helpers.assert_equal(helpers.weights(trainer), helpers.weights(plain))


def test_generator_that_writes_too_few_texts_counts_as_zero(pretrained, tmp_path, caplog):
    trainer = make_trainer(pretrained, tmp_path, validation_dpc=400, max_sampling_rounds=1)
    assert trainer.validator(trainer.generator, Processes()) == {"learner_accuracy": 0.0, "learner_f1": 0.0}
    assert "counts as 0: only" in caplog.text
