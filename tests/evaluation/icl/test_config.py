# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments of the in-context evaluation."""

import dataclasses
import json

import pytest

from ddg_hf.configs import RecipeParser
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.config import ICLEvaluationArguments
from ddg_hf.provenance import run_metadata


def parse(*argv):
    return RecipeParser((ICLEvaluationArguments,)).parse(list(argv))[0]


def test_short_options():
    arguments = parse("--round", "5", "-c", "2k", "--instruct", "-k", "secret", "--test_number", "500")
    assert (arguments.rounds, arguments.context_length, arguments.test_number) == (5, 2048, 500)
    assert arguments.instruct and arguments.drops_rounds and not arguments.truncate_demonstrations
    assert arguments.api_key == "secret"


def test_defaults():
    arguments = parse()
    assert not arguments.drops_rounds
    assert (arguments.order_by, arguments.scoring, arguments.chat) == ("interleaved", "likelihood", "none")


def test_truncation_drops_rounds():
    assert parse("--truncate_demonstrations").drops_rounds


def test_keys_are_not_recorded():
    arguments = parse("-k", "secret-of-mine", "--base_url", "http://localhost:1/v1")
    assert "secret-of-mine" not in repr(arguments)
    assert "secret-of-mine" not in json.dumps(run_metadata("evaluate-icl", [arguments]), default=str)


def test_the_record_has_the_template_itself(tmp_path):
    file = tmp_path / "block.jinja"
    file.write_text("{{ text }}\n{{ label }}\n", encoding="utf-8")
    assert parse("--prompt_template", str(file)).prompt_template == "{{ text }}\n{{ label }}\n"
    assert parse("--prompt_template", r"{{ text }}\n{{ label }}").prompt_template == "{{ text }}\n{{ label }}"


def test_yaml(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(
        "context_length: 4k\ninstruction: ''\nprompt_template: |\n  {{ text }}\n  {{ label }}\nchat: turns\n"
    )
    arguments = parse("--config", str(file), "--chat", "user")
    assert (arguments.context_length, arguments.instruction, arguments.chat) == (4096, "", "user")
    assert arguments.prompt_template == "{{ text }}\n{{ label }}\n"


@pytest.mark.parametrize(
    "values, message",
    [
        ({"concurrency": 0}, "--concurrency must be at least 1, got 0"),
        ({"max_retries": -1}, "--max_retries must be at least 0, got -1"),
        ({"timeout": 0.0}, "--timeout must be a positive number of seconds, got 0.0"),
        ({"timeout": float("nan")}, "--timeout must be a positive number of seconds, got nan"),
        ({"context_length": "2kb"}, "--context_length must be a number of tokens"),
        ({"prompt_template": "missing.jinja"}, "--prompt_template 'missing.jinja' cannot be read"),
        ({"constrained": True}, "--constrained goes with --scoring generate, not with likelihood"),
        ({"base_url": "localhost:8000"}, "--base_url must begin with http:// or https://"),
        ({"base_url": "http://localhost", "vllm": True}, "--base_url and --vllm exclude each other"),
    ],
)
def test_mistakes(values, message):
    with pytest.raises(UserError, match=message):
        ICLEvaluationArguments(**values)


@pytest.mark.parametrize("option", [["--scoring", "best"], ["--chat", "system"], ["--order_by", "label"]])
def test_unknown_choices(option):
    with pytest.raises(UserError, match="invalid choice"):
        parse(*option)


def test_every_field_is_explained():
    for field in dataclasses.fields(ICLEvaluationArguments):
        assert field.metadata.get("help"), field.name
        documented = [cls for cls in ICLEvaluationArguments.__mro__[:2] if f"        {field.name} (`" in cls.__doc__]
        assert documented, field.name
