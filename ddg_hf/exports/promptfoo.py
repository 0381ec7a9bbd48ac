# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations and labelled queries as a configuration of promptfoo."""

from collections.abc import Sequence
from typing import Any

from ..data.tasks import TaskSpec
from ..evaluation.demonstrations import Demonstration
from ..evaluation.icl.prompts import PromptTemplate, flatten
from .templates import escape_jinja, label_words, query_template, variable_names

# Values that begin like this name files or code to promptfoo.
_REFERENCES = ("file://", "package:", "exec:", "python:", "javascript:")


def promptfoo_config(
    name: str,
    spec: TaskSpec,
    template: PromptTemplate,
    rows: Sequence[Demonstration],
    queries: Sequence[Demonstration],
) -> dict[str, Any]:
    """
    Returns a configuration: the demonstrations as a prompt, and a test for each query whose answer has to equal its
    label word. What means something to promptfoo in the texts is escaped. The provider is `echo`, which answers with
    the prompt: a configuration needs one, and `promptfoo eval -r PROVIDER` asks another.

    Args:
        name: Label of the prompt.
        spec: The data.
        template: How a row is written.
        rows: Demonstrations in the order of the prompt.
        queries: Labelled rows to test with.
    """
    names, words = variable_names(spec), label_words(template)
    query = query_template(template, names, escape_jinja, lambda name: f"{{{{{name}}}}}")
    tests = [
        {
            "vars": dict(zip(names, (_inert(flatten(text)) for text in texts), strict=True)),
            "assert": [{"type": "equals", "value": _inert(words[label])}],
        }
        for texts, label in queries
    ]
    prompt = {"label": name, "raw": escape_jinja(template.prefix(rows)) + query}
    return {"description": f"{spec.name}: {name}", "providers": ["echo"], "prompts": [prompt], "tests": tests}


def _inert(text: str) -> str:
    """Writes a value so that promptfoo neither renders it as a template nor loads what it names."""
    text = escape_jinja(text)
    return f'{{{{ "{text[0]}" }}}}{text[1:]}' if text.startswith(_REFERENCES) else text
