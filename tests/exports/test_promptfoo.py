# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Configurations, run by promptfoo."""

import json
import os
import shutil
import subprocess

import pytest

from ddg_hf.exports.promptfoo import promptfoo_config
from ddg_hf.exports.yaml_text import dump_yaml

from .helpers import HOSTILE, MULTILINE, PAIR, SINGLE, SPECS, rows_of, template_of


@pytest.fixture
def promptfoo(tmp_path):
    """Runs promptfoo, which is a program of its own."""
    program = shutil.which("promptfoo")
    if program is None:
        pytest.skip("runs configurations with promptfoo, which is not installed")
    quiet = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1"}

    def run(*arguments):
        environment = os.environ | quiet | {"PROMPTFOO_CONFIG_DIR": str(tmp_path / "promptfoo")}
        return subprocess.run([program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_promptfoo_shows_our_prompts(spec, promptfoo, tmp_path):
    """The provider `echo` answers with the prompt itself."""
    template, rows, queries = template_of(spec), rows_of(spec), rows_of(spec, HOSTILE + MULTILINE)
    (tmp_path / "config.yaml").write_text(dump_yaml(promptfoo_config("x", spec, template, rows, queries)), "utf-8")
    validated = promptfoo("validate", "-c", "config.yaml")
    assert validated.returncode == 0, validated.stdout + validated.stderr
    promptfoo("eval", "-c", "config.yaml", "--no-cache", "-o", "results.json")
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))["results"]["results"]
    results.sort(key=lambda result: result["testIdx"])
    assert len(results) == len(queries)
    for result, (texts, label) in zip(results, queries, strict=True):
        assert result["response"]["output"] == template.prefix(rows) + template.query(texts)
        (check,) = result["gradingResult"]["componentResults"]
        assert check["assertion"]["type"] == "equals"
        assert f'to equal "{spec.label_words[label]}"' in check["reason"]


def test_there_is_a_test_for_each_query():
    queries = [(("a", "b"), 1), (("c", "d"), 0)]
    config = promptfoo_config("x", PAIR, template_of(PAIR), [(("e", "f"), 0)], queries)
    assert config["tests"] == [
        {"vars": {"premise": "a", "text_2": "b"}, "assert": [{"type": "equals", "value": "not entailment"}]},
        {"vars": {"premise": "c", "text_2": "d"}, "assert": [{"type": "equals", "value": "entailment"}]},
    ]
    (prompt,) = config["prompts"]
    assert (
        prompt["raw"] == "Text 1: e\nText 2: f\nLabel: entailment\n\nText 1: {{premise}}\nText 2: {{text_2}}\nLabel:"
    )


def test_references_to_files_and_code_are_texts():
    queries = [((text,), 0) for text in ("file:///etc/hostname", "package:fs:x", "exec: ls")]
    config = promptfoo_config("x", SINGLE, template_of(SINGLE), [(("e",), 0)], queries)
    assert [test["vars"]["sentence"] for test in config["tests"]] == [
        '{{ "f" }}ile:///etc/hostname',
        '{{ "p" }}ackage:fs:x',
        '{{ "e" }}xec: ls',
    ]
