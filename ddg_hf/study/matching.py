# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Did the matching raise what it maximises? What its own evaluations say, before the first step and after the last."""

import math
from collections.abc import Sequence
from typing import Any

from ..provenance import read_json
from .plan import Cell
from .runner import StudyDirectory

TRAINER_STATE = "trainer_state.json"
COSINE = "eval_gradient_cosine"
MEASURES = {
    "gradient_cosine": COSINE,
    "real_gradient_cosine": "eval_real_gradient_cosine",
    "exchanged_gradient_cosine": "eval_exchanged_gradient_cosine",
    "label_consistency": "eval_label_consistency",
    "malformed_rate": "eval_malformed_rate",
    "nll": "eval_nll",
}
"""What an evaluation measures, by the name that results have for it."""


def matching_table(cells: Sequence[Cell], directory: StudyDirectory) -> list[dict[str, Any]]:
    """
    A row for each distillation among `cells` that was evaluated: `student` (`ema`, `shared`), `seed`, `steps`, and
    `before` and `after`, each with [`MEASURES`]: of fresh texts cosines and shares, of validation rows nats per token.

    `before` is `None` where the distillation was not evaluated at its start (`eval_on_start`), and a measure where it
    was not taken, or has no value: there is no cosine where all texts of a label were malformed.
    """
    rows = []
    for cell in (cell for cell in cells if cell.stage == "distill"):
        file = directory.output(cell.name) / TRAINER_STATE
        # An archive of before these were kept has none.
        found = evaluations(read_json(file)["log_history"]) if file.is_file() else []
        if found:
            first, last = found[0], found[-1]
            rows.append(
                {
                    "student": cell.options["student"],
                    "seed": cell.seed,
                    "steps": last["step"],
                    "before": _measures(first) if first["step"] == 0 else None,
                    "after": _measures(last),
                }
            )
    return rows


def evaluations(log_history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of a trainer's log that are evaluations of fresh texts, in their order."""
    return [entry for entry in log_history if COSINE in entry]


def finite(value: float | None) -> float | None:
    """A number that JSON has; `None` for any other."""
    return value if value is not None and math.isfinite(value) else None


def _measures(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: finite(entry.get(key)) for name, key in MEASURES.items()}
