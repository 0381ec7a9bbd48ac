# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Checks as people read them in a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import terminal
from .findings import FAIL, NOT_RUN, OK, WARN, Texts
from .markdown import statistics

if TYPE_CHECKING:
    from ..formats.directory import DistilledDirectory

_STYLES = {OK: "green", WARN: "yellow", FAIL: "red", NOT_RUN: "dim"}
_LONGEST = 200
_PLACE = ("config", "set", "row", "label")


def printable(text: str, longest: int = _LONGEST) -> str:
    """[`ddg_hf.terminal.printable`] of a text that may be long."""
    return terminal.printable(text, longest)


def print_checks(
    checks: Mapping[str, Any], directory: "DistilledDirectory", real: Mapping[str, Sequence[Texts]]
) -> None:
    """
    Prints a table of the checks and the listed findings with the texts of their rows.

    The nearest real row is printed with a finding where it is a training or validation row; a test row is only named
    by its position: whoever chooses sets should not read the rows that they are tested on.

    Args:
        checks: What [`~ddg_hf.quality.run_checks`] returned.
        directory: The sets.
        real: Real rows of each split.
    """
    from rich.text import Text

    configs = list(checks["configs"])
    rows = []
    for name, check in checks["checks"].items():
        cells = [_cell(check, config) for config in configs]
        rows.append([name, *(Text(text, style=_STYLES[status]) for text, status in cells)])
    columns = ["check", *map(printable, configs)]
    terminal.table(columns, rows, title=printable(f"{checks['task']}: {checks['status']}"), left=columns)
    measured = [statistics(checks["checks"], config) for config in configs]
    means = [[name, *(each[name] for each in measured)] for name in measured[0]]
    terminal.table(["", *columns[1:]], means, title="means", left=["", *columns[1:]])
    for name, check in checks["checks"].items():
        if check["status"] == NOT_RUN:
            terminal.say(f"{name}: not run, {printable(check['reason'])}")
        for example in check["examples"]:
            terminal.say(f"{name}: {_example(example)}")
            for line in _texts(example, directory, real):
                terminal.say(f"    {line}")


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
