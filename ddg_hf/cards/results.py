# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Measured results for a card: as a table for people and as structured evaluation results for programs."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from ..data.tasks import TaskSpec
from ..errors import UserError
from ..evaluation.results import RESULTS_FILE
from ..provenance import redact
from .text import code, table

# What a table shows of an evaluation in context and of one as training data.
_KINDS = {"accuracy": "accuracy", "calibrated_accuracy": "accuracy, batch-calibrated"}


@dataclass(frozen=True)
class Evaluation:
    """
    An evaluation of distilled sets.

    Attributes:
        file: Name of the file that is published: `icl_<model>.json` or `learner_<model>.json`.
        content: `results.json` as it was read.
    """

    file: str
    content: dict[str, Any]

    @property
    def in_context(self) -> bool:
        """Whether the sets were shown to a language model; otherwise classifiers were trained on them."""
        return "model" in self.content

    @property
    def model(self) -> str:
        """Model in whose context the sets were, or the classifier that was trained; a directory by its name."""
        model = redact(str(self.content["model" if self.in_context else "learner"]))
        return Path(model).name if Path(model).is_absolute() else model

    @property
    def setting(self) -> str:
        """What was measured, in a few words."""
        return f"in context, {self.content['scoring']}" if self.in_context else "as training data"


def read_evaluation(source: str | Path, spec: TaskSpec) -> Evaluation:
    """
    Reads what `evaluate-icl` or `evaluate-learner` wrote.

    Args:
        source: Its directory, or `results.json`.
        spec: The task of the sets that are published.

    Raises:
        UserError: it is not there or no such file, is of another task, or is of rows that are not distilled.
    """
    path = Path(source).expanduser()
    path = path / RESULTS_FILE if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read the results in '{path}': {' '.join(str(error).split())}") from error
    rows = content.get("aggregates") if isinstance(content, dict) else None
    shown = {"scoring", "demonstrations"} if rows and "model" in content else {"learner", "training_rows"}
    if not rows or not {"task", "label_names", "split", *shown} <= set(content):
        raise UserError(f"'{path}' is not the result of `evaluate-icl` or `evaluate-learner`")
    if tuple(content["label_names"]) != spec.label_names:
        raise UserError(f"'{path}' is of the task '{content['task']}', whose labels are not those of '{spec.name}'")
    kind = "icl" if "model" in content else "learner"
    name = Path(redact(str(content.get("model") or content["learner"]))).name
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name).strip(".") or "model"
    return Evaluation(f"{kind}_{safe}.json", content)


def results_table(evaluations: Sequence[Evaluation]) -> str:
    """Returns a Markdown table: accuracy in %, with 95 % intervals, of every evaluation."""
    rows = []
    for evaluation in evaluations:
        for entry in evaluation.content["aggregates"]:
            cells = [code(evaluation.model), evaluation.setting, f"`dpc_{entry['dpc']}`", evaluation.content["split"]]
            cells += [entry["num_sets"], entry["num_queries"]]
            rows.append([*cells, *(_percent(entry.get(kind)) for kind in _KINDS)])
    return table(["model", "used", "configuration", "split", "sets", "queries", *_KINDS.values()], rows)


def _percent(value: dict[str, float] | None) -> str:
    if value is None:
        return "-"
    text = f"{100 * value['mean']:.1f}"
    return f"{text} [{100 * value['low']:.1f}, {100 * value['high']:.1f}]" if "low" in value else text


def eval_results(evaluations: Sequence[Evaluation], spec: TaskSpec) -> list[EvalResult]:
    """
    Returns the results as the Hub's structured evaluation results (`model-index`): an accuracy in [0, 1] for each
    configuration and kind of prediction, with its interval among the arguments of the metric.
    """
    found = []
    for evaluation in evaluations:
        for entry in evaluation.content["aggregates"]:
            for kind, name in _KINDS.items():
                value = entry.get(kind)
                if value is None or not math.isfinite(value["mean"]):
                    continue
                arguments = {key: value[key] for key in ("low", "high") if key in value}
                arguments |= {"sets": entry["num_sets"], "queries": entry["num_queries"], "confidence": 0.95}
                found.append(
                    EvalResult(
                        task_type="text-classification",
                        task_name="Text classification",
                        dataset_type=spec.hub_id or spec.name,
                        dataset_name=spec.name,
                        dataset_config=spec.hub_config,
                        dataset_split=evaluation.content["split"],
                        metric_type="accuracy",
                        metric_name=f"{name}, dpc_{entry['dpc']}, {evaluation.setting}, {evaluation.model}",
                        metric_value=round(value["mean"], 6),
                        metric_args=arguments,
                    )
                )
    return found
