# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Which demonstrations are evaluated, wherever they come from, and on which queries."""

from ..icl.prompts import Demonstration, Texts
from .described import describe_distilled
from .distilled import available_dpc, load_distilled
from .json_file import load_json_sets
from .queries import balanced_sample
from .retrieved import RetrievedDemonstrations
from .select import select_sets
from .sets import ORDERS, DemonstrationSet, fingerprints_of, to_demonstrations
from .training_rows import draw_sets

__all__ = [
    "ORDERS",
    "Demonstration",
    "DemonstrationSet",
    "RetrievedDemonstrations",
    "Texts",
    "available_dpc",
    "balanced_sample",
    "describe_distilled",
    "draw_sets",
    "fingerprints_of",
    "load_distilled",
    "load_json_sets",
    "select_sets",
    "to_demonstrations",
]
