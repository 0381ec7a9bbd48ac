# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The package declares what it needs, ships what it runs, and every command has its recipe."""

import importlib
import inspect
import re
import runpy
from pathlib import Path

import pytest
import setuptools
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ddg_hf.cli import COMMANDS
from ddg_hf.version import __version__

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.py") if path.stem != "__init__")


@pytest.fixture
def setup_arguments(monkeypatch) -> dict:
    """The keyword arguments that setup.py gives to setuptools."""
    arguments = {}
    monkeypatch.setattr(setuptools, "setup", arguments.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    return arguments


def read_constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all([spec.operator for spec in pin.specifier] == ["=="] for pin in pins)
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(set(names)) == len(names)
    return {name: Version(next(iter(pin.specifier)).version) for name, pin in zip(names, pins, strict=True)}


def test_one_version(setup_arguments):
    assert setup_arguments["version"] == __version__
    assert str(Version(__version__)) == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


def test_console_script_is_declared_and_callable(setup_arguments):
    (script,) = setup_arguments["entry_points"]["console_scripts"]
    name, target = script.split("=")
    module, function = target.split(":")
    assert name == "ddg-hf"
    assert callable(getattr(importlib.import_module(module), function))


def test_recipes_ship_as_a_subpackage(setup_arguments):
    assert setup_arguments["package_dir"] == {"ddg_hf.recipes": "recipes"}
    packages = set(setup_arguments["packages"])
    on_disk = {".".join(p.relative_to(ROOT).parent.parts) for p in (ROOT / "ddg_hf").rglob("__init__.py")}
    assert packages == on_disk | {"ddg_hf.recipes"}


def test_every_module_lies_in_a_package():
    without = {path.parent for path in (ROOT / "ddg_hf").rglob("*.py") if not (path.parent / "__init__.py").exists()}
    assert without == set()


def test_constraints_cover_and_satisfy_the_requirements(setup_arguments):
    pins = read_constraints()
    extras = setup_arguments["extras_require"]
    for line in setup_arguments["install_requires"] + extras["test"] + extras["docs"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line
    assert not any(version.local for version in pins.values())
    assert set(extras["test"]) <= set(extras["dev"])


def test_linter_versions_agree():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (ruff,) = [hook["rev"] for hook in hooks if "ruff" in hook["repo"]]
    assert Version(ruff) == read_constraints()["ruff"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_documented_main(name):
    module = importlib.import_module(f"recipes.{name}")
    command = next(command for command, (target, _) in COMMANDS.items() if target == f"ddg_hf.recipes.{name}")
    assert module.__doc__ and f"ddg-hf {command}" in module.__doc__
    (argv,) = inspect.signature(module.main).parameters.values()
    assert argv.name == "argv" and argv.default is None


def test_every_python_file_names_the_licence():
    paths = [
        p for folder in ("ddg_hf", "recipes", "tests", "benchmarks", "docs") for p in (ROOT / folder).rglob("*.py")
    ]
    header = re.compile(r"# Copyright \d{4} The ddg_hf team\. Licensed under the Apache License, Version 2\.0\.\n")
    assert [str(path) for path in paths if not header.match(path.read_text(encoding="utf-8"))] == []
