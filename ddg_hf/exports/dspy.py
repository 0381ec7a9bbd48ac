# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations as the state of a compiled DSPy program."""

from collections.abc import Sequence
from typing import Any

from ..data.tasks import TaskSpec
from ..evaluation.demonstrations import Demonstration
from ..evaluation.icl.prompts import PromptTemplate
from .templates import label_words, variable_names


def dspy_signature(spec: TaskSpec) -> str:
    """Returns the signature that the state belongs to, such as `"sentence -> label"`."""
    return f"{', '.join(variable_names(spec))} -> label"


def dspy_state(spec: TaskSpec, template: PromptTemplate, rows: Sequence[Demonstration]) -> dict[str, Any]:
    """
    Returns what `dspy.Predict(signature).load` reads: the demonstrations as `demos`, with their texts as they are and
    the label words in `label`, and the instruction and the names of the fields as those of the signature
    ([`dspy_signature`]). DSPy writes the prompt, which is therefore not that of the evaluation in context.
    """
    names, words = variable_names(spec), label_words(template)
    fields = zip([*names, "label"], [*template.field_names, template.answer_name], strict=True)
    return {
        "traces": [],
        "train": [],
        "demos": [dict(zip(names, texts, strict=True)) | {"label": words[label]} for texts, label in rows],
        "signature": {
            "instructions": template.instruction or f"Choose one of: {', '.join(words)}.",
            "fields": [{"prefix": f"{title}:", "description": f"${{{name}}}"} for name, title in fields],
        },
        "lm": None,
        "metadata": {"dependency_versions": {}},
    }
