# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The model card of a generator."""

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ..data.tasks import TASKS
from ..provenance import published_record
from .card import Card, merge_cards, new_card
from .text import block, code, escape_markdown, table

# Objective of each stage.
_OBJECTIVES = {
    "pretrain": (
        "language-model pretraining: the mean negative log-likelihood of each text after the prefix of its label, "
        "nats per token"
    ),
    "distill": (
        "gradient matching: 1 - the cosine between the gradients that generated and real texts have in a classifier, "
        "mean over the labels; its student is an exponential moving average (`student=ema`) or the classifier itself "
        "(`student=shared`)"
    ),
}
_ARGUMENTS = {
    "pretrain": ("max_steps", "num_train_epochs", "learning_rate", "label_prefix", "label_initialization", "seed"),
    "distill": (
        *("learner", "student", "max_steps", "inner_steps", "learning_rate", "synthetic_per_class", "real_per_class"),
        *("teacher_sets", "seed"),
    ),
}
_METRICS = {
    "nll": "negative log-likelihood of held-out rows (nats per token)",
    "label_consistency": "share of generated texts that a probe gives the label they were asked for",
    "probe_accuracy_on_real_rows": "accuracy of that probe on held-out real rows",
    "malformed_rate": "share of malformed texts",
    "gradient_cosine": "gradient cosine of fresh samples, mean over the labels",
}
_POINTS = 12


def model_card(
    record: dict[str, Any],
    history: Sequence[dict[str, float]],
    name: str,
    local: Card | None = None,
    published: Card | None = None,
    target: str = "",
    **header: Any,
) -> Card:
    """
    Returns a generator's card.

    Args:
        record: What the run records of itself ([`~ddg_hf.provenance.run_metadata`]): stage, task, arguments, ...
        history: The trainer's log (`trainer.state.log_history`).
        name: Name of the model: `user/name`, or that of its directory.
        local, published: Cards that are there already. What a user wrote in them stays; where both were edited, what
            is published counts: a run that is published again must not undo what was written on the Hub.
        target: Where the published card is, `user/name@branch`.
        header: More for the header: `tags`, `language`, `license`, `datasets`, `base_model`.
    """
    base = base_model(record)
    shown = published_record(record)
    template = resources.files("ddg_hf").joinpath("templates/model_card.md").read_text(encoding="utf-8")
    body = template.format(
        name=escape_markdown(name.split("/")[-1]),
        summary=block("summary", _summary(shown, base)),
        training=block("training", _training(shown)),
        measured=block("measured", _measured(history)),
        usage=block("usage", _usage(name, shown)),
    )
    generated = ModelCardData(**_header(shown, base, history, name, header)).to_dict()
    return merge_cards(new_card(generated, body), local, published, target, prefer="hub")


def base_model(record: dict[str, Any] | None) -> str | None:
    """The model of the Hub that the run, or the run before it, started from; `None` where there is none."""
    while record:
        arguments, earlier = record.get("arguments", {}), record.get("generator_run")
        model = arguments.get("generator")
        if not earlier:
            is_id = isinstance(model, str) and re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", model)
            return model if is_id and not Path(model).exists() else None
        record = earlier
    return None


def _header(
    record: dict[str, Any], base: str | None, history: Sequence[dict[str, float]], name: str, more: dict[str, Any]
) -> dict[str, Any]:
    task, registered = record.get("task"), TASKS.get(record.get("task"))
    data = (registered and registered.hub_id) or None
    final = {key: value for key, value in _last(history).items() if isinstance(value, float)}
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=data or str(task),
            dataset_name=str(task),
            dataset_split="validation",
            metric_type=key,
            metric_name=what,
            metric_value=round(final[key], 6),
        )
        for key, what in _METRICS.items()
        if key in final
    ]
    tags = [*more.pop("tags", ()), "ddg_hf", record["stage"]]
    header: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    header |= {"tags": list(dict.fromkeys(tags)), "language": "en" if registered else None}
    if base:
        header |= {"base_model": base, "base_model_relation": "finetune"}
    if data:
        header["datasets"] = [data]
    if results:
        header |= {"model_name": name.split("/")[-1], "eval_results": results}
    return header | {key: value for key, value in more.items() if value is not None}


def _last(history: Sequence[dict[str, float]]) -> dict[str, float]:
    """The last value of everything that was evaluated, without the prefix."""
    found: dict[str, float] = {}
    for entry in history:
        found |= {key.removeprefix("eval_"): value for key, value in entry.items() if key.startswith("eval_")}
    return found


def _summary(record: dict[str, Any], base: str | None) -> str:
    task = record.get("task") or "a text dataset"
    source = f" It started from {code(base)}." if base else ""
    verb = "distilled by gradient matching" if record["stage"] == "distill" else "pretrained as a language model"
    return (
        f"A causal language model that writes a text for a label of {escape_markdown(task)}, {verb} with `ddg_hf` "
        f"{escape_markdown(record.get('ddg_hf_version', ''))}.{source}"
    )


def _training(record: dict[str, Any]) -> str:
    arguments = record.get("arguments", {})
    shown = [(name, arguments.get(name)) for name in _ARGUMENTS[record["stage"]]]
    shown = [(name, value) for name, value in shown if value is not None and value != -1]
    lines = [
        f"Data: the training split of {escape_markdown(record.get('task') or 'a text dataset')}.",
        f"Objective: {_OBJECTIVES[record['stage']]}.",
        "",
        table(["argument", "value"], [[f"`{name}`", code(value)] for name, value in shown]),
    ]
    before = record.get("generator_run")
    if before:
        lines += ["", f"Before that it went through `{before.get('stage')}`; `metadata.json` has the arguments."]
    return "\n".join(lines)


def _measured(history: Sequence[dict[str, float]]) -> str:
    final = _last(history)
    rows = [[what, f"{final[key]:.4f}"] for key, what in _METRICS.items() if key in final]
    parts = [table(["on held-out rows", "last value"], rows)] if rows else ["Nothing was measured on held-out rows."]
    for key, title in (("gradient_cosine", "Gradient cosine"), ("loss", "Loss")):
        curve = [(int(entry["step"]), entry[key]) for entry in history if key in entry and "step" in entry]
        if len(curve) > 1:
            parts.append(f"{title} in training (mean since the line before), by step:\n\n{_curve(curve)}")
    return "\n\n".join(parts)


def _curve(points: Sequence[tuple[int, float]]) -> str:
    """A table of some points of a curve, the first and the last among them; all are in `trainer_state.json`."""
    count = min(_POINTS, len(points))
    shown = [points[round(i * (len(points) - 1) / (count - 1))] for i in range(count)]
    return table([step for step, _ in shown], [[f"{value:.4f}" for _, value in shown]])


def _usage(name: str, record: dict[str, Any]) -> str:
    task = record.get("arguments", {}).get("task")
    data = f"--task {task}" if task else "--dataset DATA --text_columns TEXT"
    return (
        f"```shell\nddg-hf generate {data} --generator {name} --dpc 5 --output_dir runs/distilled\n```\n\n"
        "It is an ordinary `transformers` checkpoint: `AutoModelForCausalLM.from_pretrained` loads it. A text begins "
        "after the prefix of its label, which the tokenizer has as a token of its own or which is a phrase; "
        "`ddg_hf.Generator.load` knows which."
    )
