# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Short model names: what LongICLBench calls its models, and one table of what that means here."""

from pathlib import Path

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from ddg_hf.errors import UserError
from ddg_hf.models.names import ALIASES, SHORT_NAMES, resolve_model, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "model_names.md"
# Names in the scripts of LongICLBench.
REFERENCE = (
    "glm baichuan llama2-7B-32K yi internlm longLora longllama qwen mistral gemma rwkv gpt4 claude3 mamba gemini"
)


def test_every_name_of_the_reference_is_known():
    assert set(SHORT_NAMES) == set(REFERENCE.split())
    assert set(ALIASES.values()) <= set(SHORT_NAMES)


@pytest.mark.parametrize("name", ["qwen", "mistral", "gemma", "yi", "llama2-7B-32K", "longllama", "longLora", "glm"])
def test_names_that_work(name):
    assert resolve_model(name) == resolve_model(name.upper()) == SHORT_NAMES[name].model
    owner, slash, model = resolve_model(name).partition("/")
    assert owner and slash and model


@pytest.mark.parametrize(
    "name, message",
    [
        ("baichuan", "needs Python code from its repository; use qwen"),
        ("mamba", "no key-value cache .* use mistral"),
        ("RWKV", "use mistral"),
        ("gpt4", "pass --base_url https://api.openai.com/v1 --scoring generate --chat user"),
        ("gpt4-turbo", "pass --base_url"),
    ],
)
def test_names_that_cannot_work_say_what_to_do(name, message):
    with pytest.raises(UserError, match=message):
        resolve_model(name)


def test_alternatives_are_names_that_work():
    for entry in SHORT_NAMES.values():
        if entry.model is None and "use " in entry.note:
            assert resolve_model(entry.note.split("use ")[1].split(",")[0]).count("/") == 1


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-0.5B", "gpt2", "./qwen", "/models/gemma", "some-local-name"])
def test_any_other_name_is_taken_as_it_is(name):
    assert resolve_model(name) == name


def test_existing_directory_wins(tmp_path, monkeypatch):
    (tmp_path / "qwen").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_model("qwen") == "qwen"


def test_architectures_are_part_of_transformers():
    """A model that needs code of its own would fail for every user of its name."""
    types = {"qwen2", "mistral", "gemma2", "llama", "glm", "internlm3"}
    assert types <= set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def test_the_documentation_has_the_table():
    assert table() in PAGE.read_text(encoding="utf-8")
