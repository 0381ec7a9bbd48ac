# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Evaluation of demonstrations by in-context learning."""

from .calibration import batch_calibrate, log_normalize
from .encoding import encode_prompts
from .evaluator import ICLEvaluator, ICLPrediction
from .prompts import Demonstration, PromptTemplate, round_robin
from .scoring import generate_labels, score_labels

__all__ = [
    "Demonstration",
    "ICLEvaluator",
    "ICLPrediction",
    "PromptTemplate",
    "batch_calibrate",
    "encode_prompts",
    "generate_labels",
    "log_normalize",
    "round_robin",
    "score_labels",
]
