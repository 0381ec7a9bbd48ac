# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Runs all checks on a directory of distilled sets."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..version import __version__
from . import broken_texts, copies, near_copies, personal_data, sets, variety
from .checks import CHECKS, COUNT_SETS
from .findings import NOT_RUN, OK, Finding, Outcome, Texts, worst
from .label_consistency import check_labels

if TYPE_CHECKING:
    from ..evaluation.label_control import LabelProbe
    from ..formats.directory import DistilledDirectory

CHECKS_FILE = "checks.json"
VERSION = 1

Real = Mapping[str, tuple[Sequence[Texts], Sequence[int] | None]]
"""For each split N rows and N label ids, or None where the labels are not known."""


@dataclass(frozen=True)
class _Rows:
    """Rows: of one configuration, or of a directory with one configuration after the other."""

    texts: list[Texts]
    labels: list[int]
    sets: list[int]

    @classmethod
    def of(cls, directory: "DistilledDirectory", config: str) -> "_Rows":
        columns = directory.table(config).to_pydict()
        texts = list(zip(*(columns[name] for name in directory.spec.text_columns), strict=True))
        return cls(texts, columns["label"], columns["set"])


def _find_in_all(parts: Mapping[str, _Rows], find: Callable[[list[Texts]], list[Finding]]) -> dict[str, list[Finding]]:
    """Looks in the rows of all configurations at once, and returns the findings of each."""
    findings = find([texts for part in parts.values() for texts in part.texts])
    result, start = {}, 0
    for config, part in parts.items():
        stop = start + len(part.texts)
        result[config] = [Finding(one.row - start, one.details) for one in findings if start <= one.row < stop]
        start = stop
    return result


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
        probe ([`~ddg_hf.evaluation.label_control.LabelProbe`], *optional*): a classifier fitted to real training rows,
            for the check of the labels; its accuracy is measured on the split `validation` of `real`.
        max_examples (`int`): of each check, so many findings are listed.

    Returns:
        `dict` of JSON values. `status` is the gravest of all checks; `checks` maps each name of [`CHECKS`] to its
        `status` (`ok`, `warn`, `fail`, `not_run`), what it `looks_for`, the `unit` that it counts, the `configs`
        (`status`, `rows`, `sets`, `found` and the details of each) and `examples` (`config`, `set`, `row`, the
        position in the table, `label`, details). No text of any row is in it: rows are named by their position, real
        ones by split and position. `fingerprints` are those of the rows that were checked.

    Raises:
        UserError: a probe, but no validation rows with labels.
    """
    real = real or {}
    names = directory.spec.label_names
    parts = {config: _Rows.of(directory, config) for config in directory.configs}
    real_texts = {split: texts for split, (texts, _) in real.items()}
    outcomes = {
        **_against_real_rows(parts, real_texts),
        **_row_by_row(parts),
        **_set_by_set(parts, names, real_texts.get("train", ())),
        "label_consistency": _labels(parts, names, real, probe),
    }
    checks = {name: _as_json(name, outcomes[name], parts, names, max_examples) for name in CHECKS}
    for name in ("copies", "near_copies"):
        if not real:
            checks[name]["reason"] = "no real rows were given"
    if probe is None:
        checks["label_consistency"]["reason"] = "no classifier was given"
    return {
        "version": VERSION,
        "ddg_hf_version": __version__,
        "task": directory.spec.name,
        "configs": list(directory.configs),
        "fingerprints": {config: _fingerprint(part) for config, part in parts.items()},
        "real_rows": {split: len(texts) for split, texts in real_texts.items()},
        "status": worst(check["status"] for check in checks.values()),
        "checks": checks,
    }


def _against_real_rows(parts: Mapping[str, _Rows], real: Mapping[str, Sequence[Texts]]) -> dict[str, dict]:
    if not real:
        return {"copies": {}, "near_copies": {}}
    splits, found = list(real), []

    def find_copies(rows: list[Texts]) -> list[Finding]:
        found.extend(copies.find_copies(rows, real))
        return found

    repeated = _find_in_all(parts, find_copies)
    near = _find_in_all(parts, lambda rows: near_copies.find_near_copies(rows, real, found))
    return {
        "copies": {config: copies.judge_copies(repeated[config], splits) for config in parts},
        "near_copies": {
            config: near_copies.judge_near_copies(near[config], splits, part.texts) for config, part in parts.items()
        },
    }


def _row_by_row(parts: Mapping[str, _Rows]) -> dict[str, dict[str, Outcome]]:
    result: dict[str, dict[str, Outcome]] = {"empty": {}, "truncated": {}, "control_tokens": {}, "personal_data": {}}
    for config, part in parts.items():
        rows = part.texts
        result["empty"][config] = broken_texts.judge_empty(broken_texts.find_empty(rows))
        result["truncated"][config] = broken_texts.judge_truncated(broken_texts.find_truncated(rows), len(rows))
        tokens = broken_texts.find_control_tokens(rows)
        result["control_tokens"][config] = broken_texts.judge_control_tokens(tokens)
        result["personal_data"][config] = personal_data.judge_personal_data(personal_data.find_personal_data(rows))
    return result


def _set_by_set(
    parts: Mapping[str, _Rows], names: Sequence[str], train: Sequence[Texts]
) -> dict[str, dict[str, Outcome]]:
    result: dict[str, dict[str, Outcome]] = {"duplicates": {}, "balance": {}, "diversity": {}, "lengths": {}}
    for config, part in parts.items():
        result["duplicates"][config] = sets.check_duplicates(part.texts, part.labels, part.sets)
        result["balance"][config] = sets.check_balance(part.labels, part.sets, names)
        result["diversity"][config] = variety.check_diversity(part.texts, part.sets, train)
        result["lengths"][config] = variety.check_lengths(part.texts, part.labels, part.sets, names, train)
    return result


def _labels(
    parts: Mapping[str, _Rows], names: Sequence[str], real: Real, probe: "LabelProbe | None"
) -> dict[str, Outcome]:
    if probe is None:
        return {}
    texts, labels = real.get("validation", ((), None))
    if labels is None:
        raise UserError(
            "the check of the labels needs validation rows with labels, which say how good the classifier is"
        )
    accuracy = probe.accuracy(texts, labels)
    return {
        config: check_labels(part.labels, probe.predict(part.texts).tolist(), accuracy, names)
        for config, part in parts.items()
    }


def _as_json(
    name: str, outcomes: Mapping[str, Outcome], parts: Mapping[str, _Rows], names: Sequence[str], max_examples: int
) -> dict[str, Any]:
    examples, configs = [], {}
    for config, outcome in outcomes.items():
        part = parts[config]
        sizes = {"rows": len(part.texts), "sets": len(set(part.sets))}
        configs[config] = {"status": outcome.status, **sizes, "found": outcome.found, **outcome.counts}
        for finding in outcome.findings[:max_examples]:
            row = finding.row
            place = {"config": config, "set": part.sets[row], "row": row, "label": names[part.labels[row]]}
            examples.append(place | finding.details)
    return {
        "status": worst(outcome.status for outcome in outcomes.values()),
        "looks_for": CHECKS[name],
        "unit": "sets" if name in COUNT_SETS else "rows",
        "configs": configs,
        "examples": examples[:max_examples],
    }


def _fingerprint(part: _Rows) -> str:
    """SHA-256 of texts, labels and set numbers in their order."""
    digest = hashlib.sha256()
    for texts, label, number in zip(part.texts, part.labels, part.sets, strict=True):
        digest.update(json.dumps([texts, label, number]).encode() + b"\n")
    return digest.hexdigest()


def is_current(checks: Mapping[str, Any], directory: "DistilledDirectory") -> bool:
    """Returns whether checks, such as those in `checks.json`, are of the very rows that a directory holds."""
    now = {config: _fingerprint(_Rows.of(directory, config)) for config in directory.configs}
    return isinstance(checks, Mapping) and checks.get("version") == VERSION and checks.get("fingerprints") == now


def is_fuller(checks: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether checks ran, or compared splits, that others of the same rows did not, and left out none."""

    def done(report: Mapping[str, Any]) -> set[str]:
        return {name for name, check in report["checks"].items() if check["status"] != NOT_RUN} | {
            *report["real_rows"]
        }

    return done(checks) > done(other)


def found_by(checks: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Returns those of the checks `names` (`any`: all that ran) that found something."""
    chosen = CHECKS if "any" in names else names
    return [name for name in chosen if checks["checks"][name]["status"] not in (OK, NOT_RUN)]
