# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Evaluation of demonstrations by in-context learning."""

from .backend import Backend, BestLabels, LabelScores, Prompts
from .calibration import batch_calibrate, contextual_calibrate, log_normalize
from .chat import ChatTemplate
from .encoding import encode_prompts
from .evaluator import ICLEvaluator, ICLPrediction
from .prompts import Demonstration, PromptTemplate, round_robin
from .scoring import best_labels, generate_labels, score_labels
from .transformers_backend import TransformersBackend

__all__ = [
    "Backend",
    "BestLabels",
    "ChatTemplate",
    "Demonstration",
    "ICLEvaluator",
    "ICLPrediction",
    "LabelScores",
    "PromptTemplate",
    "Prompts",
    "TransformersBackend",
    "batch_calibrate",
    "best_labels",
    "contextual_calibrate",
    "encode_prompts",
    "generate_labels",
    "log_normalize",
    "round_robin",
    "score_labels",
]
