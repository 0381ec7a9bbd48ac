# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Checks as people read them in a terminal."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .findings import FAIL, NOT_RUN, OK, WARN, Texts
from .markdown import statistics

if TYPE_CHECKING:
    from ..formats.directory import DistilledDirectory

_STYLES = {OK: "green", WARN: "yellow", FAIL: "red", NOT_RUN: "dim"}
_WIDTH = 140  # where the output is no terminal
_LONGEST = 200
_PLACE = ("config", "set", "row", "label")


def printable(text: str, longest: int = _LONGEST) -> str:
    """
    Returns a text in one line, with an escape such as `\\x1b` for every character that is not printable (control
    characters, terminal escape sequences, marks of direction), cut after `longest` characters.
    """
    cut = text if len(text) <= longest else text[:longest] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)


def print_checks(
    checks: Mapping[str, Any], directory: "DistilledDirectory", real: Mapping[str, Sequence[Texts]]
) -> None:
    """
    Prints a table of the checks and the listed findings with the texts of their rows. Text from the data is
    never taken for markup or for terminal escapes.

    The nearest real row is printed with a finding where it is a training or validation row; a test row is only named
    by its position: whoever chooses sets should not read the rows that they are tested on.

    Args:
        checks: What [`~ddg_hf.quality.run_checks`] returned.
        directory: The sets.
        real: Real rows of each split.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def table(title: str, first: str) -> Table:
        result = Table(title=Text(title), box=box.SIMPLE, title_justify="left")
        for column in (first, *checks["configs"]):
            result.add_column(Text(printable(column)), no_wrap=True)
        return result

    console = Console(width=None if sys.stdout.isatty() else _WIDTH, soft_wrap=True, highlight=False)
    results = table(printable(f"{checks['task']}: {checks['status']}"), "check")
    for name, check in checks["checks"].items():
        cells = [_cell(check, config) for config in checks["configs"]]
        results.add_row(Text(name), *(Text(text, style=_STYLES[status]) for text, status in cells))
    console.print(results)
    means = table("means", "")
    measured = [statistics(checks["checks"], config) for config in checks["configs"]]
    for name in measured[0]:
        means.add_row(Text(name), *(Text(each[name]) for each in measured))
    console.print(means)
    for name, check in checks["checks"].items():
        if check["status"] == NOT_RUN:
            console.print(Text(f"{name}: not run, {printable(check['reason'])}"))
        for example in check["examples"]:
            console.print(Text(f"{name}: {_example(example)}"))
            for line in _texts(example, directory, real):
                console.print(Text(f"    {line}"))


def _cell(check: Mapping[str, Any], config: str) -> tuple[str, str]:
    """Returns a cell of the table and its status."""
    result = check["configs"].get(config)
    if result is None:
        return "not run", NOT_RUN
    unit = check["unit"]
    return f"{result['status']}, {result['found']} of {result[unit]} {unit}", result["status"]


def _example(example: Mapping[str, Any]) -> str:
    """Returns where something was found and what."""
    place = f"{example['config']}, set {example['set']}, row {example['row']} ({example['label']})"
    details = [f"{key} {value}" for key, value in example.items() if key not in _PLACE]
    return printable(f"{place}: {', '.join(details)}")


def _texts(
    example: Mapping[str, Any], directory: "DistilledDirectory", real: Mapping[str, Sequence[Texts]]
) -> list[str]:
    """Returns the text of the row and of the real row that it is like."""
    table, columns = directory.table(example["config"]), directory.spec.text_columns
    lines = [" | ".join(printable(table.column(name)[example["row"]].as_py()) for name in columns)]
    split = example.get("split")
    if split is not None and split != "test":
        texts = " | ".join(printable(text) for text in real[split][example["real_row"]])
        lines.append(f"{split} row {example['real_row']}: {texts}")
    return lines
