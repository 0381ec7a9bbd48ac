# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Few-shot prompts, loaded by LangChain."""

import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.prompts import PromptTemplate, flatten
from ddg_hf.exports.langchain import EXAMPLES_FILE, PROMPT_FILE, langchain_files
from ddg_hf.exports.templates import variable_names

from .helpers import MULTILINE, SINGLE, SPECS, TEXTS, rows_of, template_of

prompts = pytest.importorskip("langchain_core.prompts", reason="loads prompts with langchain_core")


def load(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `load_prompt` is deprecated, without a successor for this class
        return prompts.load_prompt(path)


def build(content):
    """As `load_prompt` does, from what the file holds."""
    example = prompts.PromptTemplate(**{k: v for k, v in content["example_prompt"].items() if k != "_type"})
    rest = {k: v for k, v in content.items() if k not in ("_type", "example_prompt")}
    return prompts.FewShotPromptTemplate(**rest, example_prompt=example)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_loaded_prompt_is_that_of_the_evaluation(spec, tmp_path):
    template, rows, names = template_of(spec), rows_of(spec), variable_names(spec)
    content = langchain_files(spec, template, rows)[PROMPT_FILE]
    path = tmp_path / PROMPT_FILE
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    for prompt in (load(path), build(content)):
        assert type(prompt) is prompts.FewShotPromptTemplate
        assert prompt.input_variables == list(names)
        for texts, _ in rows:
            query = dict(zip(names, texts, strict=True))
            assert prompt.format(**query) == template.prefix(rows) + template.query(texts)


@settings(deadline=None)
@given(st.lists(TEXTS.filter(flatten), min_size=1, max_size=4))
def test_any_text_survives(texts):
    template, rows = template_of(SINGLE), rows_of(SINGLE, texts)
    files = langchain_files(SINGLE, template, rows)
    prompt = build(json.loads(json.dumps(files[PROMPT_FILE])))
    assert prompt.format(sentence="q") == template.prefix(rows) + template.query(("q",))
    assert [example["sentence"] for example in files[EXAMPLES_FILE]] == texts


def test_examples_serve_a_chat_prompt():
    rows = rows_of(SINGLE, MULTILINE)
    examples = langchain_files(SINGLE, template_of(SINGLE), rows)[EXAMPLES_FILE]
    turn = prompts.ChatPromptTemplate.from_messages([("human", "{sentence}"), ("ai", "{label}")])
    messages = prompts.FewShotChatMessagePromptTemplate(examples=examples, example_prompt=turn).format_messages()
    assert [message.content for message in messages[::2]] == list(MULTILINE)
    assert [message.content for message in messages[1::2]] == [SINGLE.label_words[label] for _, label in rows]


def test_other_layouts(tmp_path):
    template = PromptTemplate.from_task(SINGLE, block="{{ sentence }} => {{ label }}\n")
    rows = rows_of(SINGLE)
    prompt = build(langchain_files(SINGLE, template, rows)[PROMPT_FILE])
    assert prompt.format(sentence="q") == template.prefix(rows) + template.query(("q",))
    with pytest.raises(UserError, match="langchain"):
        langchain_files(SINGLE, PromptTemplate.from_task(SINGLE, block="{{ sentence }}: {{ label }} ##"), rows)
