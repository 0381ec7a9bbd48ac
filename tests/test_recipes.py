# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Every configuration file of `recipes/` is one that its stage takes, and the stages of a task fit together."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import yaml

from ddg_hf.configs import RecipeParser
from ddg_hf.data.tasks import TASKS
from ddg_hf.errors import UserError

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
# The commands with a parser of this kind; `models` has a simpler one.
COMMANDS = sorted(path.stem for path in RECIPES.glob("*.py") if "RecipeParser(" in path.read_text(encoding="utf-8"))
STAGES = ("pretrain", "distill", "generate", "evaluate_icl")
FILES = sorted(RECIPES.glob("*/*.yaml"))
# stage -> key that names an earlier stage's output directory, and that stage
INPUTS = {
    "distill": ("generator", "pretrain"),
    "generate": ("generator", "distill"),
    "evaluate_learner": ("distilled", "generate"),
    "evaluate_icl": ("distilled", "generate"),
}


def identifier(path: Path) -> str:
    return str(path.relative_to(RECIPES))


def split_name(path: Path) -> tuple[str, str]:
    """The stage that a file is for and the suffix of its variant: `generate_cpu.yaml` gives `generate` and `_cpu`."""
    stage = max((s for s in COMMANDS if path.stem == s or path.stem.startswith(f"{s}_")), key=len)
    return stage, path.stem.removeprefix(stage)


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


class Parsed(Exception):
    """Carries the parsed arguments out of a recipe before it does anything with them."""


@pytest.fixture
def parse(monkeypatch):
    """Parses `argv` with the parser of a recipe; returns the value of every field."""
    original = RecipeParser.parse

    def parse_and_stop(self, argv=None):
        raise Parsed(original(self, argv))

    def parse(stage: str, argv: list[str]) -> dict:
        with monkeypatch.context() as patch, pytest.raises(Parsed) as parsed:
            patch.setattr(RecipeParser, "parse", parse_and_stop)
            importlib.import_module(f"recipes.{stage}").main(argv)
        return {name: value for arguments in parsed.value.args[0] for name, value in vars(arguments).items()}

    return parse


def on_any_machine(stage: str) -> list[str]:
    """Flags without which a configuration for a GPU may be refused by the machine that runs the tests."""
    return ["--use_cpu"] if stage in ("pretrain", "distill") else []


def as_flags(values: dict) -> list[str]:
    """The same values on the command line, where each is checked for its type and against the choices."""
    argv = []
    for key, value in values.items():
        value = json.dumps(value) if isinstance(value, dict) else value
        argv += [f"--{key}", *map(str, value if isinstance(value, list) else [value])]
    return argv


def test_every_task_has_every_stage():
    expected = {f"{task}/{stage}.yaml" for task in TASKS if task != "toy" for stage in STAGES}
    expected |= {f"sst2/{stage}_cpu.yaml" for stage in STAGES}
    assert expected <= set(map(identifier, FILES))
    # and a data set that is written by a program
    assert {path.parent.name for path in FILES} <= {*TASKS, "bike_shop"}


@pytest.mark.parametrize("path", FILES, ids=identifier)
def test_file_is_taken_by_its_stage(path, parse):
    stage, _ = split_name(path)
    values = load(path)
    parsed = parse(stage, ["--config", str(path), *on_any_machine(stage)])
    assert values.get("task") == parsed["task"]
    assert parsed["task"] or parsed["text_columns"]
    assert (parsed["task"] or Path(parsed["dataset"]).stem) == path.parent.name
    # Values of a file become defaults, of which argparse checks less than of flags.
    flags = parse(stage, [*as_flags(values), *on_any_machine(stage)])
    for key, value in values.items():
        assert parsed[key] == flags[key] == value, key


@pytest.mark.parametrize("path", FILES, ids=identifier)
def test_stages_chain(path):
    stage, variant = split_name(path)
    values = load(path)
    assert values["output_dir"] == f"runs/{path.parent.name}/{path.stem}"
    if stage in INPUTS:
        key, earlier = INPUTS[stage]
        before = load(path.with_name(f"{earlier}{variant}.yaml"))
        assert values[key] == before["output_dir"]
    if stage.startswith("evaluate_"):
        assert set(values["dpc"]) <= set(before["dpc"])


@pytest.mark.parametrize("task", [task for task in TASKS if task != "toy"])
def test_a_study_has_the_settings_of_the_other_files(task):
    study, files = load(RECIPES / task / "study.yaml"), {s: load(RECIPES / task / f"{s}.yaml") for s in STAGES}
    own = {"task", "output_dir", "generator", "learner", "dpc", "num_sets", "student"}
    for stage in ("pretrain", "distill", "generate"):
        options = {key: value for key, value in study["options"][stage].items() if key != "eval_on_start"}
        assert options == {key: value for key, value in files[stage].items() if key not in own}
    evaluation = files["evaluate_icl"]
    for key in ("model", "split", "dpc", "test_number"):
        assert study.get(key) == evaluation.get(key)
    assert (study["generator"], study["learner"]) == (files["pretrain"]["generator"], files["distill"]["learner"])


@pytest.mark.parametrize("path", FILES, ids=identifier)
def test_file_begins_with_its_command(path):
    stage, _ = split_name(path)
    first = path.read_text(encoding="utf-8").splitlines()[:2]
    assert all(line.startswith("# ") for line in first)
    assert f"--config recipes/{identifier(path)}" in first[1]
    assert f"recipes/{stage}.py" in first[1] or f"ddg-hf {stage.replace('_', '-')} " in first[1]


def test_no_recipe_hides_a_module_of_python():
    """`python recipes/x.py` looks for modules in `recipes` first, whoever imports them."""
    assert not {path.stem for path in RECIPES.glob("*.py")} & sys.stdlib_module_names


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_key_names_the_closest(command, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("output_dri: runs\n")
    main = importlib.import_module(f"recipes.{command}").main
    with pytest.raises(UserError, match=r"config\.yaml: unknown key 'output_dri'\. Did you mean 'output_dir'\?$"):
        main(["--config", str(config)])
    with pytest.raises(UserError, match=r"unknown argument '--output_dri'\. Did you mean 'output_dir'\?$"):
        main(["--output_dri", "runs"])


@pytest.mark.parametrize("stage", STAGES)
def test_command_line_wins_over_the_file(stage, parse):
    path = RECIPES / "sst2" / f"{stage}.yaml"
    argv = ["--config", str(path), "--output_dir", "elsewhere", "--seed", "7", *on_any_machine(stage)]
    parsed = parse(stage, argv)
    assert (parsed["output_dir"], parsed["seed"], parsed["task"]) == ("elsewhere", 7, "sst2")
