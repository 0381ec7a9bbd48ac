# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations as chat messages in the format of the OpenAI API."""

import json
from collections.abc import Sequence

from ..evaluation.demonstrations import Demonstration
from ..evaluation.icl.backend import Message
from ..evaluation.icl.prompts import PromptTemplate
from .templates import label_words


def chat_messages(template: PromptTemplate, rows: Sequence[Demonstration]) -> list[Message]:
    """
    Returns the conversation that comes before a query: the instruction as system message (none if it is empty), then
    each demonstration as a message of the user and the assistant's answer, the bare label word. These are the turns of
    [`~ddg_hf.evaluation.icl.chat.ChatTemplate`] for a model that knows system messages.
    """
    template.check_labels(rows)
    words = label_words(template)
    messages = [{"role": "system", "content": template.instruction}] if template.instruction else []
    for texts, label in rows:
        messages.append({"role": "user", "content": template.query(texts).strip()})
        messages.append({"role": "assistant", "content": words[label]})
    return messages


def chat_lines(template: PromptTemplate, sets: Sequence[Sequence[Demonstration]]) -> str:
    """Returns JSON lines: for each set an object with its `messages`."""
    lines = [json.dumps({"messages": chat_messages(template, rows)}, ensure_ascii=False) for rows in sets]
    return "".join(line + "\n" for line in lines)
