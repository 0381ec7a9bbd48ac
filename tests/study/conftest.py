# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A whole study of the toy task with tiny models, run once."""

from pathlib import Path

import pytest
import yaml

from tests import tiny_models

METHODS = [
    "zero_shot",
    "random",
    "balanced",
    "gradient_selection",
    "topk",
    "lm_only",
    "ddg",
    "balanced+likelihood",
]
OPTIONS = {
    "pretrain": {
        "max_steps": 30,
        "learning_rate": 3e-3,
        "per_device_train_batch_size": 16,
        "save_strategy": "no",
        "probe_samples": 0,
    },
    "distill": {
        "max_steps": 2,
        "inner_steps": 2,
        "learner_steps": 1,
        "learner_batch_size": 8,
        "synthetic_per_class": 4,
        "pool_per_class": 8,
        "real_per_class": 8,
        "teacher_sets": 2,
        "eval_on_start": True,
        "eval_snapshots": 1,
        "probe_samples": 4,
        "save_strategy": "no",
    },
    "generate": {"over_sample_ratio": 2, "max_sampling_rounds": 100},
    "measure": {"real_per_class": 8, "snapshots": 2, "snapshot_steps": 1},
    "select": {"snapshots": 2, "snapshot_steps": 1},
    "evaluate-learner": {"train_steps": 2, "num_seeds": 1},
}


def write_config(path: Path, **changes) -> Path:
    """Writes a study.yaml."""
    content = {
        "task": "toy",
        "methods": METHODS,
        "dpc": [1, 2],
        "generator": "tiny",
        "learner": "tiny",
        "num_sets": 2,
        "training_seeds": 2,
        "seed_counts": {"lm_only": 1},
        "learner_dpc": [2],
        "split": "test",
        "test_number": 12,
        "likelihood_candidates": 2,
        "likelihood_queries": 6,
        "candidates_per_class": 8,
        "options": OPTIONS,
        **changes,
    }
    path.write_text(yaml.safe_dump({name: value for name, value in content.items() if value is not None}))
    return path


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory) -> str:
    """A small language model with room for long prompts."""
    path = tmp_path_factory.mktemp("study_model")
    tokenizer = tiny_models.build_tiny_tokenizer(model_max_length=4096)
    tiny_models.make_gpt2(len(tokenizer), n_positions=4096).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)
