# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations as a few-shot prompt of LangChain."""

from collections.abc import Sequence
from typing import Any

from ..data.tasks import TaskSpec
from ..errors import UserError
from ..evaluation.demonstrations import Demonstration
from ..evaluation.icl.prompts import PromptTemplate, flatten
from .templates import (
    block_end,
    check_rows,
    escape_format,
    instruction_block,
    label_space,
    label_words,
    query_template,
    variable_names,
)

PROMPT_FILE = "prompt.json"
EXAMPLES_FILE = "examples.json"


def langchain_files(spec: TaskSpec, template: PromptTemplate, rows: Sequence[Demonstration]) -> dict[str, Any]:
    """
    Returns what two JSON files hold.

    `prompt.json` is a `FewShotPromptTemplate` as LangChain itself saves it; formatted with the texts of a query it is
    the prompt of the evaluation in context. `FewShotPromptTemplate` formats the examples and then the whole, so that
    braces in their texts are doubled there. `examples.json` is the list of examples with the texts as they are, for
    example selectors and chat prompts.

    Raises:
        UserError: the prompt cannot be written as a format string.
    """
    check_rows(template, rows, "langchain")
    end, head = block_end(template), instruction_block(template)
    if head and not head.endswith(end):
        raise UserError("langchain cannot end the instruction otherwise than demonstrations; use --format prompt")
    names, words = variable_names(spec), label_words(template)
    query = query_template(template, names, escape_format, lambda name: f"{{{name}}}")

    def example(texts: Sequence[str], label: int) -> dict[str, str]:
        return dict(zip(names, texts, strict=True)) | {"label": words[label]}

    shown = [example([flatten(text) for text in texts], label) for texts, label in rows]
    prompt = {
        "_type": "few_shot",
        "input_variables": list(names),
        "prefix": escape_format(head.removesuffix(end)),
        "example_prompt": {
            "_type": "prompt",
            "input_variables": [*names, "label"],
            "template": f"{query}{escape_format(label_space(template))}{{label}}",
            "template_format": "f-string",
        },
        "examples": [{name: escape_format(text) for name, text in row.items()} for row in shown],
        "example_separator": end,
        "suffix": query,
        "template_format": "f-string",
    }
    return {PROMPT_FILE: prompt, EXAMPLES_FILE: [example(texts, label) for texts, label in rows]}
