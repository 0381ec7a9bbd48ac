# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Estimates of operations: parameters x tokens, by hand."""

import pytest

from ddg_hf.study.flops import TextTokens, non_embedding_parameters, stage_flops
from tests import tiny_models

FACTS = {"generator": 10, "learner": 3, "model": 7}
TOKENS = TextTokens(real=20.0, generated=15.0)


def test_pretraining():
    arguments = {"max_steps": 5, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    assert stage_flops("pretrain", arguments, 2, TOKENS, FACTS) == 6 * 10 * (5 * 4 * 2) * 20


def test_distillation():
    arguments = {
        "max_steps": 5,
        "labels_per_step": None,
        "synthetic_per_class": 4,
        "generate_interval": 2,
        "inner_steps": 3,
        "pool_per_class": 12,
        "real_per_class": 8,
        "teacher_accumulation": 1,
        "num_trajectories": 0,
        "learner_steps": 2,
        "learner_batch_size": 16,
        "lm_lambda": 0.0,
        "lm_batch_size": 9,
    }
    generated = 10 * (6 * 2 * 4 + 2 * 2 * 12 / 6) + 3 * 2 * 2 * 4
    trained, read = 3 * 6 * 2 * 16, 3 * 2 * 2 * 8
    assert stage_flops("distill", arguments, 2, TOKENS, FACTS) == pytest.approx(
        5 * (15 * generated + 20 * (trained + read))
    )
    mixed = stage_flops("distill", arguments | {"lm_lambda": 0.1}, 2, TOKENS, FACTS)
    assert mixed == pytest.approx(5 * (15 * generated + 20 * (trained + read + 10 * 6 * 9)))
    stored = stage_flops("distill", arguments | {"num_trajectories": 4}, 2, TOKENS, FACTS)
    assert stored == pytest.approx(5 * (15 * generated + 20 * read))


def test_sampling_and_evaluation():
    assert stage_flops("generate", {}, 2, TOKENS, FACTS | {"sampled": 9}) == 4 * 10 * 9 * 15
    facts = FACTS | {"prefix_tokens": 300, "queries": 50}
    assert stage_flops("evaluate-icl", {}, 2, TOKENS, facts) == 2 * 7 * (300 + 50 * 20)


def test_ranking_rows_by_the_loss_of_a_generator_reads_them():
    assert stage_flops("select", {}, 2, TOKENS, FACTS | {"scored_rows": 30}) == 2 * 10 * 30 * 20


def test_what_is_not_known_is_not_guessed():
    assert stage_flops("generate", {}, 2, TOKENS, {"sampled": 9}) is None
    assert stage_flops("pretrain", {}, 2, TOKENS, FACTS) is None
    assert stage_flops("select", {}, 2, TOKENS, FACTS) is None
    assert non_embedding_parameters("no/such-model-here") is None and non_embedding_parameters(None) is None


def test_parameters_without_embeddings(tmp_path):
    model = tiny_models.make_gpt2(300)
    model.save_pretrained(tmp_path)
    embeddings = model.transformer.wte.weight.numel() + model.transformer.wpe.weight.numel()
    assert non_embedding_parameters(str(tmp_path)) == model.num_parameters() - embeddings
