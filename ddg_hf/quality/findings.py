# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a check finds, and how grave it is."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Texts = tuple[str, ...]
"""One row: a text for each text column."""

OK, WARN, FAIL, NOT_RUN = "ok", "warn", "fail", "not_run"
_ORDER = (NOT_RUN, OK, WARN, FAIL)


@dataclass(frozen=True)
class Finding:
    """
    Something found in one row.

    Attributes:
        row (`int`): position of the row in the list that was checked.
        details (`dict`): what was found; JSON values only, and never the text of a real row.
    """

    row: int
    details: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """
    The result of a check on the rows of one configuration.

    Attributes:
        status (`str`): `ok`, `warn` or `fail`.
        found (`int`): number of rows (or of sets, where the check is about sets) in which something was found.
        counts (`dict`): details of the count, or statistics; JSON values only.
        findings (`list[Finding]`): what was found where.
    """

    status: str
    found: int
    counts: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)


def worst(statuses: Iterable[str]) -> str:
    """Returns the gravest of some statuses; `not_run` if there is none."""
    return max(statuses, key=_ORDER.index, default=NOT_RUN)
