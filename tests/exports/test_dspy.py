# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The state of a program, loaded by DSPy."""

import json

import pytest

from ddg_hf.exports.dspy import dspy_signature, dspy_state
from ddg_hf.exports.templates import variable_names

from .helpers import HOSTILE, MULTILINE, SPECS, rows_of, template_of

dspy = pytest.importorskip("dspy", reason="loads the state with dspy")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_program_has_the_demonstrations(spec, tmp_path):
    rows = rows_of(spec, HOSTILE + MULTILINE)
    path = tmp_path / "program.json"
    path.write_text(json.dumps(dspy_state(spec, template_of(spec), rows), ensure_ascii=False), encoding="utf-8")
    program = dspy.Predict(dspy_signature(spec))
    program.load(path)

    names = variable_names(spec)
    assert [tuple(demo[name] for name in names) for demo in program.demos] == [texts for texts, _ in rows]
    assert [demo["label"] for demo in program.demos] == [spec.label_words[label] for _, label in rows]
    assert program.signature.instructions == spec.instruction or not spec.instruction
    assert list(program.signature.input_fields) == list(names)
    assert list(program.signature.output_fields) == ["label"]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_state_is_what_dspy_saves(spec, tmp_path):
    state = dspy_state(spec, template_of(spec), rows_of(spec))
    program = dspy.Predict(dspy_signature(spec))
    program.load_state(state)
    program.save(tmp_path / "saved.json")
    saved = json.loads((tmp_path / "saved.json").read_text(encoding="utf-8"))
    assert set(saved) == set(state)
    assert {k: v for k, v in saved.items() if k != "metadata"} == {k: v for k, v in state.items() if k != "metadata"}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_demonstrations_are_in_the_prompt(spec):
    rows = rows_of(spec, HOSTILE + MULTILINE)
    program = dspy.Predict(dspy_signature(spec))
    program.load_state(dspy_state(spec, template_of(spec), rows))
    query = dict.fromkeys(variable_names(spec), "a query")
    messages = dspy.ChatAdapter().format(program.signature, program.demos, query)
    turns = [message["content"] for message in messages if message["role"] == "user"]
    assert len(turns) == len(rows) + 1
    for turn, (texts, _) in zip(turns, rows, strict=False):
        assert all(text.strip() in turn for text in texts)
