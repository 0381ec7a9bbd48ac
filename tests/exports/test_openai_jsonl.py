# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Chat messages, checked by the types of the openai package."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.chat import ChatTemplate
from ddg_hf.evaluation.icl.prompts import flatten
from ddg_hf.exports.openai_jsonl import chat_lines, chat_messages

from .helpers import HOSTILE, MULTILINE, SINGLE, SPECS, TEXTS, rows_of, template_of

CHAT_TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_messages_are_those_of_the_openai_package(spec):
    chat = pytest.importorskip("openai.types.chat", reason="checks messages with the types of openai")
    from pydantic import TypeAdapter

    adapter = TypeAdapter(list[chat.ChatCompletionMessageParam])
    lines = chat_lines(template_of(spec), [rows_of(spec), rows_of(spec, MULTILINE)]).splitlines()
    assert len(lines) == 2
    for line in lines:
        record = json.loads(line)
        assert list(record) == ["messages"]
        assert adapter.validate_python(record["messages"], strict=False) == record["messages"]
        assert record["messages"][-1]["role"] == "assistant"  # as fine-tuning needs it


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_messages_are_the_turns_of_the_evaluation(spec, tiny_tokenizer):
    tiny_tokenizer.chat_template = CHAT_TEMPLATE
    tiny_tokenizer.add_special_tokens({"eos_token": "[end]"})
    template, rows = template_of(spec), rows_of(spec, [text for text in HOSTILE if "<" not in text])
    prompts = ChatTemplate(template, "turns", tiny_tokenizer).prompts(rows, [rows[0][0]])
    assert chat_messages(template, rows) == prompts.messages[0][:-1]


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_texts_survive_on_one_line(texts):
    rows = rows_of(SINGLE, texts)
    (line,) = chat_lines(template_of(SINGLE), [rows]).split("\n")[:-1]
    users = [m["content"] for m in json.loads(line)["messages"] if m["role"] == "user"]
    for content, text in zip(users, texts, strict=True):
        assert content == f"Review: {flatten(text)}".rstrip(" ") + "\nLabel:"


def test_without_instruction_there_is_no_system_message():
    template = template_of(dataclasses.replace(SINGLE, instruction=""))
    assert [m["role"] for m in chat_messages(template, [(("a",), 0)])] == ["user", "assistant"]


def test_unknown_label():
    with pytest.raises(UserError, match="label 9"):
        chat_messages(template_of(SINGLE), [(("a",), 9)])
