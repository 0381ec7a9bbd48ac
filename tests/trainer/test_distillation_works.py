# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Distillation raises the gradient cosine of fresh samples.

The generator writes words of the right label six times in ten, real rows nine times in ten, so there is something to
gain. The control gives each coefficient to a random row of the same label: as large updates, without the information.
"""

import statistics

import pytest
import torch

from ddg_hf.trainer import matching
from tests.trainer.helpers import make_discerning_learner, make_distillation_trainer

SEEDS = range(5)


def gain(pretrained: str, output_dir, seed: int) -> float:
    """Rise of the mean cosine of fresh samples at the same learner snapshots."""
    trainer = make_distillation_trainer(
        pretrained,
        output_dir,
        make_discerning_learner(),
        num_rows=400,
        seed=seed,
        max_steps=40,
        learning_rate=3e-4,
        synthetic_per_class=64,
        pool_per_class=256,
        real_per_class=100,
        inner_steps=5,
        learner_steps=4,
        eval_snapshots=4,
        logging_steps=40,
    )
    before = trainer.measure_gradient_cosine(256)
    trainer.train()
    return trainer.measure_gradient_cosine(256) - before


@pytest.mark.slow
def test_cosine_rises_above_a_control_with_permuted_coefficients(pretrained, tmp_path, monkeypatch):
    gains = [gain(pretrained, tmp_path, seed) for seed in SEEDS]

    generator = torch.Generator().manual_seed(0)
    coefficients = matching.surrogate_coefficients

    def permuted(*args, **kwargs):
        result = coefficients(*args, **kwargs)
        return result[torch.randperm(len(result), generator=generator)]

    monkeypatch.setattr(matching, "surrogate_coefficients", permuted)
    controls = [gain(pretrained, tmp_path, seed) for seed in SEEDS]

    differences = [ours - control for ours, control in zip(gains, controls, strict=True)]
    standard_error = statistics.stdev(differences) / len(differences) ** 0.5
    print(f"gains {gains}, controls {controls}")
    assert statistics.mean(gains) > 0
    assert statistics.mean(differences) > 2 * standard_error
