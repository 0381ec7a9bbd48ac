# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Reads commands with the parsers of the programs that they are for."""

import argparse
import functools
import importlib
import re
import runpy
import shlex
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import pytest
import setuptools

from ddg_hf import cli
from ddg_hf.configs import RecipeParser
from tests.docs.pages import ROOT, Command, expand

# Programs of others whose arguments are not ours to check, by their first words, and why they are named.
EXTERNAL = {
    "hf auth login": "saves a token; of huggingface_hub",
    "transformers serve": "a server; of transformers",
    "promptfoo eval": "not a Python program",
}
# Recipes that check more of their arguments in a function of their own.
CHECKING = {"check": "_parse", "export": "parse"}
# What stands for `$(ddg-hf models --path gemma)` where nothing is executed.
PREPARED = "prepared/model"


class Parsed(Exception):
    """Carries what a program parsed out of it, before it does anything with it."""


@dataclass(frozen=True)
class Recipe:
    """A command of ours: the recipe, its arguments, and the accelerate launcher's own, if it is launched by it."""

    name: str
    argv: list[str]
    launcher: list[str] | None = None


def as_recipe(words: list[str]) -> Recipe | None:
    """The recipe that a command runs: `ddg-hf x`, `python recipes/x.py`, `accelerate launch ... recipes/x.py`."""
    if words[0] == "ddg-hf" and len(words) > 1 and words[1] in cli.COMMANDS:
        return Recipe(cli.COMMANDS[words[1]][0].split(".")[-1], words[2:])
    script = next((i for i, word in enumerate(words) if re.fullmatch(r"recipes/\w+\.py", word)), None)
    if script is None:
        return None
    name = words[script].removeprefix("recipes/").removesuffix(".py")
    if words[:script] == ["python"]:
        return Recipe(name, words[script + 1 :])
    if words[:2] == ["accelerate", "launch"]:
        return Recipe(name, words[script + 1 :], words[2 : script + 1])
    return None


def substitute(command: str) -> str:
    """What a command in `$(...)` prints; it must be one that names a prepared model."""
    assert re.fullmatch(r"ddg-hf models --path (gemma|minilm)", command), f"$({command}) is not known here"
    return PREPARED


@contextmanager
def stop_after_parsing():
    """Lets every parser raise `Parsed` with its result instead of returning it."""
    parse_args, parse_recipe = argparse.ArgumentParser.parse_args, RecipeParser.parse

    def stop(self, *arguments, **options):
        raise Parsed(parse_args(self, *arguments, **options))

    def stop_recipe(self, argv=None):
        raise Parsed(parse_recipe(self, argv))

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", stop),
        mock.patch.object(RecipeParser, "parse", stop_recipe),
    ):
        yield


def parse_recipe(recipe: Recipe) -> object:
    """Parses the arguments of a recipe with its own parser, and the launcher's with accelerate's."""
    if recipe.launcher is not None:
        from accelerate.commands.launch import launch_command_parser

        launch_command_parser().parse_args(recipe.launcher)
    module = importlib.import_module(f"recipes.{recipe.name}")
    if recipe.name in CHECKING:
        return getattr(module, CHECKING[recipe.name])(recipe.argv)
    # A configuration for a GPU may be refused by the machine that runs the tests.
    extra = ["--use_cpu", "--bf16", "false"] if recipe.name in ("pretrain", "distill") else []
    with stop_after_parsing(), pytest.raises(Parsed) as parsed:
        module.main([*recipe.argv, *extra])
    return parsed.value.args[0]


def parse(command: Command) -> str:
    """
    Parses a command as the program that it is for would, and returns the kind of program. Raises whatever the parser
    raises, and fails for a program that nobody here knows.
    """
    if not command.words:
        for value in command.assigns.values():
            expand((value,), {}, substitute)
        return "assignment"
    names = {name: PREPARED for name in ("GEMMA", "MINILM")}
    words = expand(command.words, names, substitute)
    if " ".join(words[:3]) in EXTERNAL or " ".join(words[:2]) in EXTERNAL:
        return "external"
    if (recipe := as_recipe(words)) is not None:
        parse_recipe(recipe)
        return "recipe"
    for pattern, check in _OTHERS.items():
        if re.match(pattern, shlex.join(words)):
            check(words)
            return pattern.split()[0]
    pytest.fail(f"{command.place}: no parser for `{command}`; teach tests/docs/commands.py what reads it")


def _make(words: list[str]) -> None:
    """`make target VARIABLE=value`."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words[1:]:
        if "=" in word:
            assert re.search(rf"^{word.split('=')[0]} \?= ", makefile, re.MULTILINE), f"make has no variable {word}"
        else:
            assert re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE), f"make has no target {word}"


@functools.cache
def extras() -> set[str]:
    """The extras that setup.py declares."""
    found: dict = {}
    with mock.patch.object(setuptools, "setup", found.update):
        runpy.run_path(str(ROOT / "setup.py"))
    return set(found["extras_require"])


def _pip(words: list[str]) -> None:
    """`pip install` of this package with extras, or of another one."""
    assert words[1] == "install" and len(words) > 2
    for word in words[2:]:
        if match := re.fullmatch(r"(?:\.|ddg_hf)\[([\w,-]+)\]", word):
            assert set(match[1].split(",")) <= extras(), f"setup.py has no extra of {word}"


def _benchmark(words: list[str]) -> None:
    """A program of `benchmarks/`, which parses `sys.argv`."""
    with (
        mock.patch.object(sys, "argv", words[1:]),
        mock.patch.object(sys, "path", [str(ROOT / "benchmarks"), *sys.path]),
        stop_after_parsing(),
        pytest.raises(Parsed),
    ):
        runpy.run_path(str(ROOT / words[1]), run_name="__main__")


def _lm_eval(words: list[str]) -> None:
    """lm-evaluation-harness, where it is installed."""
    harness = pytest.importorskip("lm_eval._cli", reason="needs ddg_hf[export-test]")
    arguments = words[1:] if words[1] in ("run", "ls", "validate") else ["run", *words[1:]]
    parsed = harness.HarnessCLI()._parser.parse_args(arguments)
    assert parsed.tasks


_OTHERS = {
    r"make( |$)": _make,
    r"pip install ": _pip,
    r"python benchmarks/\w+\.py( |$)": _benchmark,
    r"lm_eval ": _lm_eval,
    r"ddg-hf --(help|version)$": lambda words: None,
}


def options_of(name: str) -> set[str]:
    """The options of a recipe, with two dashes."""
    found: list[argparse.ArgumentParser] = []

    def remember(self, *arguments, **options):
        found.append(self)
        raise Parsed

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", remember),
        mock.patch.object(RecipeParser, "parse", remember),
        pytest.raises(Parsed),
    ):
        importlib.import_module(f"recipes.{name}").main([])
    return {option for action in found[0]._actions for option in action.option_strings}
