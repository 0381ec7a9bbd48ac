# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Prompts of queries in template languages."""

import dataclasses

import jinja2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddg_hf.data.tasks import TASKS
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.prompts import PromptTemplate, flatten
from ddg_hf.exports.templates import (
    block_end,
    check_rows,
    escape_format,
    escape_jinja,
    instruction_block,
    label_space,
    label_words,
    query_template,
    variable_names,
)

from .helpers import PAIR, SINGLE, SPECS, TEXTS, rows_of, template_of


@given(TEXTS)
def test_escaped_texts_are_written_as_they_are(text):
    environment = jinja2.Environment(keep_trailing_newline=True, newline_sequence="\n")
    flat = flatten(text)
    assert environment.from_string(escape_jinja(flat)).render(sentence="wrong") == flat
    assert escape_format(text).format(sentence="wrong") == text


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_query_template_gives_the_query(spec):
    template, names = template_of(spec), variable_names(spec)
    written = query_template(template, names, escape_format, lambda name: f"{{{name}}}")
    for texts, _ in rows_of(spec):
        flat = dict(zip(names, map(flatten, texts), strict=True))
        assert written.format(**flat) == template.query(texts)


@pytest.mark.parametrize("name", TASKS)
def test_registered_tasks_can_be_written_as_templates(name):
    spec = TASKS[name]
    template = template_of(spec)
    row = (tuple("abc"[: len(spec.text_columns)]), 1)
    check_rows(template, [row], "x")
    assert variable_names(spec) == spec.text_columns
    parts = (template.query(row[0]), label_space(template), label_words(template)[1], block_end(template))
    assert instruction_block(template) + "".join(parts) == template.prefix([row])


def test_columns_that_are_no_variables_get_another_name():
    spec = dataclasses.replace(PAIR, text_columns=("my text", "in"))
    assert variable_names(spec) == ("text_1", "text_2")
    assert variable_names(PAIR) == ("premise", "text_2")


COLUMNS = st.one_of(st.sampled_from(["text_1", "text_2", "text_2_", "a b", "in", "label", "Text_1", ""]), st.text())


@given(st.lists(COLUMNS, min_size=1, max_size=5, unique=True))
@example(["text_2", "a b"])
@example(["a b", "text_1", "text_1_"])
def test_names_of_variables_differ_and_are_identifiers(columns):
    spec = dataclasses.replace(PAIR, text_columns=tuple(columns), field_names=("x",) * len(columns))
    names = variable_names(spec)
    assert len(set(names)) == len(columns) == len(names)
    assert all(name.isascii() and name.isidentifier() and name.lower() != "label" for name in names)


def test_what_a_template_cannot_say_is_an_error():
    with pytest.raises(UserError, match="lm-eval"):
        check_rows(template_of(SINGLE), [((" ",), 0)], "lm-eval")
    conditional = PromptTemplate.from_task(
        SINGLE, block="{% if 'x' in sentence %}X {% endif %}{{ sentence }}: {{ label }}"
    )
    with pytest.raises(UserError, match="prompt"):
        check_rows(conditional, [(("x",), 0)], "langchain")
    check_rows(conditional, [(("y",), 0)], "langchain")
