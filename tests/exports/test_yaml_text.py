# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""YAML with hostile strings."""

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ddg_hf.exports.yaml_text import dump_yaml

from .helpers import HOSTILE, MULTILINE, TEXTS

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


@pytest.mark.parametrize("loader", LOADERS)
@given(text=TEXTS)
def test_strings_survive(loader, text):
    content = {"key": text, "rows": [{"a": text}, [text]], text: 1, "number": 1.5, "ok": True}
    assert yaml.load(dump_yaml(content), Loader=loader) == content


@pytest.mark.parametrize("loader", LOADERS)
@given(text=st.text(st.sampled_from("ab \n\r\t\x0b\x0c\x1c\x85\u2028\u2029\ufeff#:-\"'é🙂"), max_size=12))
@example(text="a\nb\x85c")
@example(text="a\nb\u2028 c")
def test_line_ends_of_any_kind_survive(loader, text):
    content = {"key": text, "rows": [[text], {text: text}]}
    assert yaml.load(dump_yaml(content), Loader=loader) == content


@given(text=st.text())
def test_any_text_survives(text):
    assert yaml.safe_load(dump_yaml([text])) == [text]


def test_line_ends_to_which_parsers_differ_are_escaped():
    assert dump_yaml(["a\nb\x85c", "a\nb\u2028c\u2029"]) == '- "a\\nb\\Nc"\n- "a\\nb\\Lc\\P"\n'


def test_strings_that_some_parsers_take_for_numbers_are_quoted():
    assert dump_yaml({"a": "1e3", "b": "0o7", "c": "yes", "d": "word"}) == 'a: "1e3"\nb: "0o7"\nc: \'yes\'\nd: word\n'


def test_there_are_no_tags_and_no_aliases():
    rows = [list(HOSTILE + MULTILINE)] * 2
    text = dump_yaml({"rows": rows})
    events = list(yaml.parse(text))
    assert not any(isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) for event in events)
    assert not any(getattr(event, "tag", None) for event in events)
    assert yaml.safe_load(text)["rows"] == rows
