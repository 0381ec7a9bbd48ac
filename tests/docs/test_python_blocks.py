# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Every Python block of every page compiles, and what it imports and passes exists."""

import ast
import importlib
import inspect
import re

import pytest

from tests.docs.pages import PAGES, Block, blocks_of

BLOCKS = [block for page in PAGES for block in blocks_of(page) if block.language == "python"]
# Packages of extras that a machine may be without.
OPTIONAL = {"dspy", "langchain_core", "setfit", "openai"}


def resolve(block: Block) -> None:
    """
    Imports what the block imports, and looks up the attributes of modules and the keywords of calls of it.

    Raises:
        ImportError: no such module or name.
        AttributeError: a module has no such name.
        AssertionError: a function takes no such keyword.
    """
    tree = ast.parse(block.text)
    names: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    raise ImportError(f"{block.place}: {node.module} has no {alias.name}")
                names[alias.asname or alias.name] = getattr(module, alias.name)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and inspect.ismodule(module := names.get(node.value.id))
        ):
            getattr(module, node.attr)
        if isinstance(node, ast.Call) and (function := _look_up(node.func, names)) is not None:
            _check_keywords(block, node, function)


def _look_up(node: ast.expr, names: dict[str, object]):
    """The imported object that an expression such as `a` or `a.b` stands for."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := _look_up(node.value, names)) is not None:
        return getattr(owner, node.attr, None)
    return None


def _check_keywords(block: Block, call: ast.Call, function) -> None:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for keyword in call.keywords:
        assert keyword.arg is None or keyword.arg in parameters, f"{block.place}: no parameter {keyword.arg}"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_names_exist(block):
    needed = set(re.findall(r"^(?:from|import) (\w+)", block.text, re.MULTILINE))
    for package in sorted(needed & OPTIONAL):
        pytest.importorskip(package)
    compile(block.text, block.place, "exec")
    resolve(block)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("from ddg_hf import load_date", ImportError),
        ("import ddg_hf\nddg_hf.load_date", AttributeError),
        ("from ddg_hf import load_data\nload_data(date_dir='x')", AssertionError),
        ("from ddg_hf.nowhere import x", ImportError),
        ("from ddg_hf import (", SyntaxError),
    ],
)
def test_a_mistake_is_found(text, error):
    with pytest.raises(error):
        resolve(Block("page", 1, "python", text))
