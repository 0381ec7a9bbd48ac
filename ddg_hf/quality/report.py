# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Runs all checks on a directory of distilled sets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..version import __version__
from .checks import CHECKS
from .copies import find_copies, judge_copies
from .findings import NOT_RUN, Finding, Outcome, Texts, worst

if TYPE_CHECKING:
    from ..evaluation.label_control import LabelProbe
    from ..formats.directory import DistilledDirectory

CHECKS_FILE = "checks.json"
VERSION = 1

Real = Mapping[str, tuple[Sequence[Texts], Sequence[int] | None]]


@dataclass(frozen=True)
class _Rows:
    """All rows of a directory, one configuration after the other."""

    slices: dict[str, slice]
    texts: list[Texts]
    labels: list[int]
    sets: list[int]

    @classmethod
    def of(cls, directory: "DistilledDirectory") -> "_Rows":
        slices, texts, labels, sets = {}, [], [], []
        for config in directory.configs:
            columns = directory.table(config).to_pydict()
            start = len(texts)
            texts += zip(*(columns[name] for name in directory.spec.text_columns), strict=True)
            labels += columns["label"]
            sets += columns["set"]
            slices[config] = slice(start, len(texts))
        return cls(slices, texts, labels, sets)

    def split(self, findings: Sequence[Finding]) -> dict[str, list[Finding]]:
        """Findings in all rows, by configuration, with the positions of the rows in their configuration."""
        return {
            config: [
                Finding(finding.row - part.start, finding.details)
                for finding in findings
                if part.start <= finding.row < part.stop
            ]
            for config, part in self.slices.items()
        }


def run_checks(
    directory: "DistilledDirectory",
    real: Real | None = None,
    probe: "LabelProbe | None" = None,
    max_examples: int = 5,
) -> dict[str, Any]:
    """
    Checks distilled sets.

    Args:
        directory ([`~ddg_hf.formats.directory.DistilledDirectory`]): the sets.
        real (`Mapping`, *optional*): for each split its rows and label ids, as
            [`~ddg_hf.data.rows.rows_and_labels`] returns them. Without it nothing is compared with real rows.
        probe ([`~ddg_hf.evaluation.label_control.LabelProbe`], *optional*): a classifier fitted to real rows, for the
            check of the labels; it needs the split `validation` with labels, too.
        max_examples (`int`): of each check, so many findings are listed.

    Returns:
        `dict` of JSON values. `status` is the gravest of all checks; `checks` maps each name of [`CHECKS`] to its
        `status` (`ok`, `warn`, `fail`, `not_run`), what it looks for, the `configs` (status, rows, rows found and
        counts of each) and `examples` (configuration, set, position in the table, label, details). It holds no text
        of any row: rows are named by their position, real ones by split and position.
    """
    real = real or {}
    rows = _Rows.of(directory)
    names = directory.spec.label_names
    checks: dict[str, Any] = {}

    def add(name: str, outcomes: Mapping[str, Outcome], reason: str | None = None) -> None:
        examples = []
        for config, outcome in outcomes.items():
            part = rows.slices[config]
            for finding in outcome.findings:
                at = part.start + finding.row
                where = {"config": config, "set": rows.sets[at], "row": finding.row, "label": names[rows.labels[at]]}
                examples.append(where | finding.details)
        checks[name] = {
            "status": worst(outcome.status for outcome in outcomes.values()),
            "looks_for": CHECKS[name],
            **({"reason": reason} if reason else {}),
            "configs": {
                config: {
                    "status": outcome.status,
                    "rows": rows.slices[config].stop - rows.slices[config].start,
                    "found": outcome.found,
                    **outcome.counts,
                }
                for config, outcome in outcomes.items()
            },
            "examples": examples[:max_examples],
        }

    def each(findings: Sequence[Finding], judge: Callable[[list[Finding]], Outcome]) -> dict[str, Outcome]:
        return {config: judge(found) for config, found in rows.split(findings).items()}

    real_texts = {split: texts for split, (texts, _) in real.items()}
    if real:
        copies = find_copies(rows.texts, real_texts)
        add("copies", each(copies, lambda found: judge_copies(found, list(real))))
    else:
        add("copies", {}, "no real rows were given")
    return {
        "version": VERSION,
        "ddg_hf_version": __version__,
        "task": directory.spec.name,
        "configs": list(directory.configs),
        "real_rows": {split: len(texts) for split, texts in real_texts.items()},
        "status": worst(check["status"] for check in checks.values()),
        "checks": checks,
    }


def found_by(checks: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Returns those of the checks `names` (`any`: all that ran) that found something."""
    chosen = CHECKS if "any" in names else names
    return [name for name in chosen if checks["checks"][name]["status"] not in ("ok", NOT_RUN)]
