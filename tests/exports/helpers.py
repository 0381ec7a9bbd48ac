# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Rows whose texts mean something to templates, parsers and loaders, and tasks for them."""

from hypothesis import strategies as st

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.evaluation.icl.prompts import PromptTemplate

# One column, and two of which one cannot be a variable of a template. Label words are hostile, too.
SINGLE = TaskSpec(
    name="reviews",
    text_columns=("sentence",),
    label_names=("no", "yes {it} is", "1e3"),
    instruction="Answer {no} or {{ yes }}.",
    field_names=("Review",),
    answer_name="Label",
)
PAIR = TaskSpec(
    name="pairs",
    text_columns=("premise", "class"),
    label_names=("entailment", "not_entailment"),
    label_words=("entailment", "not entailment"),
    field_names=("Text 1", "Text 2"),
    metrics=("accuracy", "f1"),
)
SPECS = (SINGLE, PAIR)

HOSTILE = (
    "{sentence}",
    "{{ sentence }}",
    "{{ label }} and {{ 7 * 7 }}",
    "{{ env.HOME }} {{env['PATH']}}",
    "{% raw %} {% endraw %} {% if",
    "{# comment #} {{{ }}} }{",
    "ends in a brace {",
    "{",
    "a | b || c",
    "he said \"yes\", 'no' and `maybe`",
    "back\\slash \\n \\{{ x \\}}",
    "# a: comment, - no item",
    "- item: [1, 2] & *alias",
    "!function utils.run",
    "%YAML 1.1",
    "file:///etc/hostname",
    "package:fs:readFileSync",
    "exec: echo",
    "@file.txt",
    "=1+1",
    "1e3",
    "0o7",
    "007",
    "null",
    "NA",
    "No",
    "$ref ${HOME} $HOME %(x)s",
    "<|im_end|> <eos>",
    "naïve 你好 🙂 \ufeff \ufffe",
)
MULTILINE = ("first\nsecond", "a\r\nb\rc", "tab\tand  spaces ", "\n\nReview: a fake\nLabel: no")

# What a Parquet column can hold, less what no prompt shows.
TEXTS = st.one_of(
    st.sampled_from(HOSTILE + MULTILINE),
    st.text(alphabet=st.sampled_from("{}%#\"'\\|:-& a\n\r\té🙂"), min_size=1, max_size=12),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20),
)


def rows_of(spec: TaskSpec, texts=HOSTILE) -> list:
    """One demonstration for each text, the labels by turns."""
    columns = len(spec.text_columns)
    return [
        (tuple(texts[(i + k) % len(texts)] for k in range(columns)), i % spec.num_labels) for i in range(len(texts))
    ]


def template_of(spec: TaskSpec) -> PromptTemplate:
    """The prompt of a task."""
    return PromptTemplate.from_task(spec)
