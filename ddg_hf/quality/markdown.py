# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Checks as a section of a dataset card."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..cards.text import escape_markdown, table
from ..errors import UserError


def checks_markdown(checks: Mapping[str, Any]) -> str:
    """
    Returns a compact Markdown section, without a heading: what was compared, a table with a row for each check and a
    column for each configuration, and one with statistics.

    Args:
        checks: What [`~ddg_hf.quality.run_checks`] returned, or the content of `checks.json`; every text in it is
            escaped.

    Raises:
        UserError: it is something else.
    """
    try:
        return _section(checks)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError("the report of checks is not as `ddg-hf check` writes it; run it again") from error


def _section(checks: Mapping[str, Any]) -> str:
    configs = checks["configs"]
    real = ", ".join(f"{count} {split}" for split, count in checks["real_rows"].items())
    compared = f"compared with real rows ({real})" if real else "without real rows to compare with"
    version = escape_markdown(f"ddg_hf {checks['ddg_hf_version']}, {compared}")
    results = [
        [check["looks_for"], *(_result(check, config) for config in configs)] for check in checks["checks"].values()
    ]
    measured = [statistics(checks["checks"], config) for config in configs]
    names = dict.fromkeys(name for each in measured for name in each)
    means = [[name, *(each.get(name, "") for each in measured)] for name in names]
    return (
        f"Checked by {version}. The checks find what they look for: a clean report is no proof.\n\n"
        f"{_table(['check', *configs], results)}\n\n{_table(['mean', *configs], means)}\n"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table of cells that are text."""
    head, *body = [[escape_markdown(str(cell)) for cell in line] for line in (header, *rows)]
    return table(head, body)


def _result(check: Mapping[str, Any], config: str) -> str:
    result = check["configs"].get(config)
    if result is None:
        return "not run"
    return f"{result['status']}: {result['found']} of {result[check['unit']]} {check['unit']}"


def statistics(checks: Mapping[str, Any], config: str) -> dict[str, str]:
    """Returns statistics of one configuration, those of real rows beside them, by their names."""
    diversity, lengths = checks["diversity"]["configs"][config], checks["lengths"]["configs"][config]
    real = diversity.get("real", {})
    result = {
        "words in a row": _beside(lengths["words"]["mean"], lengths.get("real_words", {}).get("mean")),
        **{f"distinct-{n}": _beside(diversity[f"distinct_{n}"], real.get(f"distinct_{n}")) for n in (1, 2, 3)},
        "self-BLEU": _beside(diversity["self_bleu"], real.get("self_bleu")),
    }
    labels = checks["label_consistency"]["configs"].get(config)
    if labels is not None:
        result["rows whose label a classifier confirms"] = _beside(
            labels["consistency"], labels["classifier_accuracy"]
        )
    return result


def _beside(value: float, real: float | None) -> str:
    return f"{value:.2f}" if real is None else f"{value:.2f} (real rows: {real:.2f})"
