# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Predictions as an evaluator would return them, made up."""

import numpy as np

from ddg_hf.evaluation.icl import ICLPrediction
from ddg_hf.evaluation.icl_results import ICLRun

NUM_QUERIES = 40
REFERENCES = np.arange(NUM_QUERIES) % 2
QUERY_IDS = np.arange(NUM_QUERIES) * 3


def make_prediction(predictions_Q, **values) -> ICLPrediction:
    """An `ICLPrediction` with these predictions, and defaults for all else."""
    defaults = {
        "logprobs_QK": None,
        "label_tokens_K": None,
        "contextual_logprobs_K": None,
        "answers": None,
        "num_unparsable": 0,
        "num_ties": 0,
        "failed_Q": np.zeros(len(predictions_Q), dtype=bool),
        "seconds": 2.0,
        "prefix_tokens": 17,
        "rounds": 5,
        "dropped_rounds": 0,
    }
    return ICLPrediction(predictions_Q=np.asarray(predictions_Q), **(defaults | values))


def scored(seed: int, skill: float = 1.0) -> ICLPrediction:
    """Log-probabilities that favour the right label by `skill`, with what the calibrations need."""
    rng = np.random.default_rng(seed)
    logprobs_QK = rng.normal(-3, 1, (NUM_QUERIES, 2))
    logprobs_QK[np.arange(NUM_QUERIES), REFERENCES] += skill
    return make_prediction(
        logprobs_QK.argmax(1),
        logprobs_QK=logprobs_QK,
        label_tokens_K=np.array([1, 2]),
        contextual_logprobs_K=np.array([-0.2, -1.7]),
    )


def generated(seed: int) -> ICLPrediction:
    """Answers, some of which name no label."""
    predictions_Q = np.random.default_rng(seed).integers(-1, 2, NUM_QUERIES)
    answers = ["huh" if p == -1 else "no yes".split()[p] for p in predictions_Q]
    return make_prediction(predictions_Q, answers=answers, num_unparsable=int((predictions_Q == -1).sum()))


def make_runs(predict=scored, dpcs=(5, 10), num_sets=3, num_orders=2) -> list[ICLRun]:
    """One run for each of everything."""
    return [
        ICLRun(dpc, dpc, set_id, 42, order, predict(100 * dpc + 10 * set_id + order))
        for dpc in dpcs
        for set_id in range(num_sets)
        for order in range(num_orders)
    ]
