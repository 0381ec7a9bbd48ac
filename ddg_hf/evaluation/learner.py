# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a small set is worth as training data: fresh classifiers trained on it, tested on real rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..data.tasks import TaskSpec
from ..errors import UserError
from ..models.learner import Learner
from .arguments import DemonstrationArguments
from .demonstrations import DemonstrationSet
from .metrics import compute_metrics
from .statistics import crossed_bootstrap, mean_interval


@dataclass
class LearnerEvaluationArguments(DemonstrationArguments):
    """
    Which sets classifiers are trained on, how, and what they are tested on. The fields of
    [`~ddg_hf.evaluation.arguments.DemonstrationArguments`] describe the sets and the test rows.

    Parameters:
        num_seeds (`int`, *optional*, defaults to `5`):
            Classifiers trained on each set, from different heads and batch orders.
        train_steps (`int`, *optional*, defaults to `200`): Updates of a classifier.
        learning_rate (`float`, *optional*, defaults to `1e-4`): Learning rate of a classifier (AdamW).
        batch_size (`int`, *optional*, defaults to `64`): Rows in one update, at most the whole set.
    """

    num_seeds: int = field(default=5, metadata={"help": "Classifiers trained on each set."})
    train_steps: int = field(default=200, metadata={"help": "Updates of a classifier."})
    learning_rate: float = field(default=1e-4, metadata={"help": "Learning rate of a classifier."})
    batch_size: int = field(default=64, metadata={"help": "Rows in one update."})

    def __post_init__(self):
        super().__post_init__()
        for name in ("num_seeds", "train_steps", "learning_rate", "batch_size"):
            if getattr(self, name) <= 0:
                raise UserError(f"--{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True)
class LearnerRun:
    """Predictions of one classifier: `dpc`, number of the set, seed, and label ids of Q test rows."""

    dpc: int
    set_id: int
    seed: int
    predictions_Q: np.ndarray


def train_and_predict(
    learner: Learner,
    rows: Sequence[tuple[tuple[str, ...], int]],
    encoded_test,
    arguments: LearnerEvaluationArguments,
    *seed_parts: int | str,
) -> np.ndarray:
    """
    Trains a fresh classifier on `rows` and returns its predictions of the encoded test rows, `[Q]`.

    The learner is reset to its pretrained encoder and a new head; the result depends on `seed_parts` alone.
    """
    learner.reset(*seed_parts)
    optimizer = torch.optim.AdamW(learner.model.parameters(), lr=arguments.learning_rate)
    encoded = learner.encode([texts for texts, _ in rows])
    labels = torch.tensor([label for _, label in rows])
    for step in range(arguments.train_steps):
        learner.training_step(optimizer, encoded, labels, arguments.batch_size, step, *seed_parts)
    return learner.predict(encoded_test).numpy()


def evaluate_sets(
    learner: Learner,
    sets: dict[int, list[DemonstrationSet]],
    test_rows: Sequence[tuple[str, ...]],
    arguments: LearnerEvaluationArguments,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[LearnerRun]:
    """Trains `num_seeds` classifiers on every set and predicts the test rows."""
    encoded_test = learner.encode(test_rows)
    runs = []
    for dpc, members in sets.items():
        for member in members:
            for k in range(arguments.num_seeds):
                predictions = train_and_predict(learner, member.rows, encoded_test, arguments, seed, member.set_id, k)
                runs.append(LearnerRun(dpc, member.set_id, k, predictions))
                if progress is not None:
                    progress(1)
    return runs


def summarise(runs: Sequence[LearnerRun], references_Q: Sequence[int], spec: TaskSpec) -> dict[str, Any]:
    """
    The content of `results.json`: a row per run with raw counts, and an aggregate per DPC.

    Aggregates hold `accuracy` with a 95 % interval (crossed bootstrap over sets and test rows, seeds of a set averaged
    first), the standard deviation over runs, and the means of the task's metrics.
    """
    references_Q = np.asarray(references_Q)
    names = list(dict.fromkeys(("accuracy", *spec.metrics)))
    rows = [
        {
            "dpc": run.dpc,
            "set": run.set_id,
            "seed": run.seed,
            "num_queries": len(references_Q),
            "num_correct": int((run.predictions_Q == references_Q).sum()),
            **compute_metrics(names, run.predictions_Q, references_Q, spec.num_labels),
        }
        for run in runs
    ]
    aggregates = []
    for dpc in dict.fromkeys(run.dpc for run in runs):
        members = [run for run in runs if run.dpc == dpc]
        by_set: dict[int, list[np.ndarray]] = {}
        for run in members:
            by_set.setdefault(run.set_id, []).append(run.predictions_Q == references_Q)
        correct_SQ = np.stack([np.mean(seeds, axis=0) for seeds in by_set.values()])
        mine = [row for row in rows if row["dpc"] == dpc]
        accuracies = [row["accuracy"] for row in mine]
        others = [name for name in spec.metrics if name != "accuracy"]
        aggregates.append(
            {
                "dpc": dpc,
                "num_sets": len(by_set),
                "num_seeds": len({run.seed for run in members}),
                "num_queries": len(references_Q),
                "accuracy": crossed_bootstrap(correct_SQ).as_dict(),
                "accuracy_over_runs": mean_interval(accuracies).as_dict(),
                "accuracy_std": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
                **{name: float(np.mean([row[name] for row in mine])) for name in others},
            }
        )
    return {"task": spec.name, "label_names": list(spec.label_names), "aggregates": aggregates, "runs": rows}
