# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Estimates of the floating-point operations behind the results of a study."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

FORWARD, TRAINING = 2, 6
"""Operations per parameter and token of a forward pass, and of one with its backward pass (Kaplan et al., 2020)."""


class TextTokens(NamedTuple):
    """Mean tokens of a text: of real rows, which queries are taken to be alike, and of those of a generator."""

    real: float
    generated: float


def stage_flops(
    stage: str, arguments: Mapping[str, Any], num_labels: int, tokens: TextTokens, facts: Mapping[str, float]
) -> float | None:
    """
    Estimates the operations of one command: parameters x tokens, without attention over long contexts, without the
    embedding and output layers, and of a query without its label words.

    Args:
        stage: The command.
        arguments: Its arguments, as `metadata.json` has them.
        num_labels: Number of classes.
        tokens: Mean tokens of texts.
        facts: Non-embedding parameters of the `generator`, `learner` and `model`; of an in-context evaluation also
            `prefix_tokens` (of all prompts together) and `queries` (of all sets together); of generation the
            `sampled` texts; of selection the `scored_rows` that the generator has read.

    Returns:
        The estimate; `None` if something that it needs is not known.
    """
    try:
        if stage == "pretrain":
            rows = arguments["max_steps"] * _batch(arguments)
            return TRAINING * facts["generator"] * rows * tokens.real
        if stage == "distill":
            return arguments["max_steps"] * _distillation_step(arguments, num_labels, tokens, facts)
        if stage == "generate":
            # Sampled token by token, then read once for the loss.
            return 2 * FORWARD * facts["generator"] * facts["sampled"] * tokens.generated
        if stage == "select":
            return FORWARD * facts["generator"] * facts["scored_rows"] * tokens.real
        if stage == "rerank":  # without its prefixes, one for each set
            return FORWARD * facts["model"] * facts["queries"] * tokens.real
        if stage == "evaluate-icl":
            return FORWARD * facts["model"] * (facts["prefix_tokens"] + facts["queries"] * tokens.real)
        return None
    except (KeyError, TypeError):
        return None


def _batch(arguments: Mapping[str, Any]) -> int:
    return arguments["per_device_train_batch_size"] * arguments.get("gradient_accumulation_steps", 1)


def _distillation_step(
    arguments: Mapping[str, Any], num_labels: int, tokens: TextTokens, facts: Mapping[str, float]
) -> float:
    """One update of the generator, with its share of the sampled pool, of real rows and of the learner's training."""
    labels = arguments.get("labels_per_step") or num_labels
    synthetic = labels * arguments["synthetic_per_class"]
    interval = arguments["generate_interval"] * arguments["inner_steps"]
    pool = num_labels * arguments["pool_per_class"] / interval
    generator = facts["generator"] * (TRAINING * synthetic + FORWARD * pool)
    real = labels * arguments["real_per_class"] * arguments["teacher_accumulation"]
    trained = 0 if arguments.get("num_trajectories") else arguments["learner_steps"] * arguments["learner_batch_size"]
    learner = facts["learner"] * FORWARD * synthetic
    read = facts["learner"] * (TRAINING * trained + FORWARD * real)
    if arguments["lm_lambda"]:
        read += facts["generator"] * TRAINING * arguments["lm_batch_size"]
    return tokens.generated * (generator + learner) + tokens.real * read


@functools.lru_cache
def non_embedding_parameters(name: str | None, classifier: bool = False) -> int | None:
    """
    Number of parameters of a model without its embeddings, by its configuration; `None` if that cannot be loaded.

    Args:
        name: Hub id or directory.
        classifier: Whether it is a classifier; otherwise a causal language model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    from ..models.tiny import TINY_LEARNERS, tiny_classifier

    if name is None:
        return None
    if classifier and name in TINY_LEARNERS:
        return tiny_classifier([("a",)], 2, name)[0].num_parameters(exclude_embeddings=True)
    try:
        # What has been run is on this machine.
        config = AutoConfig.from_pretrained(name, local_files_only=True)
        with torch.device("meta"):
            kind = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
            return kind.from_config(config).num_parameters(exclude_embeddings=True)
    except (OSError, ValueError, KeyError):
        return None
