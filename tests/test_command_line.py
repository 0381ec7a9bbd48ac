# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The parser of commands without a configuration file."""

import pytest

from ddg_hf import cli
from ddg_hf.command_line import ArgumentParser
from ddg_hf.errors import UserError


@pytest.fixture
def parser():
    parser = ArgumentParser(prog="x")
    parser.add_argument("file")
    parser.add_argument("--format", required=True)
    parser.add_argument("--fail_on", nargs="+")
    return parser


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--fromat", "b"], "unknown argument '--fromat'. Did you mean '--format'?"),
        (["a", "--fromat=b c"], "unknown argument '--fromat'. Did you mean '--format'?"),
        (["a", "--form", "b"], "unknown argument '--form'. Did you mean '--format'?"),  # no abbreviations
        (["a", "--format", "b", "--zzz"], "unknown argument '--zzz'."),
        (["a"], "the following arguments are required: --format"),
        (["a", "--format", "b", "c"], "unrecognized arguments: c"),
        (["a", "--format", "b", "-z"], "unrecognized arguments: -z"),
        (["a", "--format"], "argument --format: expected one argument"),
    ],
)
def test_mistakes(parser, arguments, message):
    with pytest.raises(UserError) as error:
        parser.parse_args(arguments)
    assert str(error.value) == message


def test_what_is_no_option_is_left_alone(parser):
    assert parser.parse_args(["--format=--b", "--", "--file"]).file == "--file"
    assert parser.parse_args(["a", "--format", "-- b"]).format == "-- b"
    assert parser.parse_args(["a", "--format", "b", "--fail_on", "c", "d"]).fail_on == ["c", "d"]


def test_the_command_line_is_the_default(parser, monkeypatch):
    monkeypatch.setattr("sys.argv", ["x", "a", "--fromat", "b"])
    with pytest.raises(UserError, match="--fromat"):
        parser.parse_args()


@pytest.mark.parametrize("command", ["check", "compare", "convert", "export", "models", "pull", "push"])
def test_every_command_names_the_option_that_was_meant(command, capsys):
    assert cli.main([command, "--halp"]) == 2
    assert capsys.readouterr().err == "error: unknown argument '--halp'. Did you mean '--help'?\n"
