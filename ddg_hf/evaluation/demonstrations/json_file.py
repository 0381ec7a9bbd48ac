# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations in a file of JSON lines."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError, closest
from ddg_hf.evaluation.icl.prompts import Demonstration, Texts
from ddg_hf.formats.json_files import json_rows

from .sets import DemonstrationSet

LABEL_FIELDS = ("label", "labels")
_NAMED = 5  # of many mistakes, so many are named


def load_json_sets(
    file: str | Path, spec: TaskSpec, dpc: Sequence[int] | None = None
) -> dict[int, list[DemonstrationSet]]:
    """
    Loads the sets of a file as [`read_json_rows`] reads it, by their rows per class.

    Args:
        file: Path of the file.
        spec: The task.
        dpc: The first so many rows of each class of every set. By default all rows: a set in which all classes have
            the same number of rows is shown round by round; one in which they have not is shown whatever the labels,
            and its rows per class are the mean, rounded up.

    Returns:
        Sets by their rows per class, both ascending.

    Raises:
        UserError: as [`read_json_rows`] does, or a class has fewer rows than `dpc` in some set.
    """
    rows_by_set: dict[int, list[Demonstration]] = {}
    for number, demonstration in read_json_rows(file, spec):
        rows_by_set.setdefault(number, []).append(demonstration)
    sets: dict[int, list[DemonstrationSet]] = {}
    for number, rows in sorted(rows_by_set.items()):
        counts = Counter(label for _, label in rows)
        rows, rounds = _by_round(rows)
        if dpc is None:
            even = len({counts[label] for label in range(spec.num_labels)}) == 1
            per_class = -(-len(rows) // spec.num_labels)
            sets.setdefault(per_class, []).append(DemonstrationSet(number, tuple(rows), ordered=even))
            continue
        for n in dict.fromkeys(dpc):
            for label, name in enumerate(spec.label_names):
                if counts[label] < n:
                    raise UserError(
                        f"class '{name}' has {counts[label]} rows in set {number} of '{file}', but {n} are needed; "
                        "lower --dpc, or leave it out to use all rows"
                    )
            kept = [row for row, earlier in zip(rows, rounds, strict=True) if earlier < n]
            sets.setdefault(n, []).append(DemonstrationSet(number, tuple(kept)))
    return dict(sorted(sets.items()))


def _by_round(rows: Sequence[Demonstration]) -> tuple[list[Demonstration], list[int]]:
    """
    Brings the first row of each label to the front, then the second of each, and so on. Returns the rows and how many
    rows of its label come before each.
    """
    seen: Counter[int] = Counter()
    earlier = []
    for _, label in rows:
        earlier.append(seen[label])
        seen[label] += 1
    order = sorted(range(len(rows)), key=earlier.__getitem__)
    return [rows[i] for i in order], [earlier[i] for i in order]


def read_json_rows(file: str | Path, spec: TaskSpec) -> list[tuple[int, Demonstration]]:
    """
    Reads labelled rows from a file of JSON lines, or of one JSON array.

    A row is an object with the text columns of the task, `label` (or `labels`, as in DiLM's files) with the name or
    the id of a label, and optionally `set`, the number of the set that it belongs to. Other fields are ignored.

    Args:
        file: Path of the file (UTF-8).
        spec: The task.

    Returns:
        Pairs (number of the set, (texts, label id)) in the order of the file; all in set 0 if no row names one.

    Raises:
        UserError: the file cannot be read, is empty or no JSON, or a row lacks a field or has it twice, has a label
            that the task does not have, or values of the wrong kind. The message gives the line.
    """
    path = Path(file).expanduser()
    rows, unknown, numbered = [], [], []
    for where, fields in json_rows(path):
        texts = _texts(fields, spec, where)
        field = next((name for name in LABEL_FIELDS if name in fields), None)
        if field is None:
            raise UserError(f"{where} has no 'label'; its fields are {', '.join(fields)}")
        label = _label_id(fields[field], spec)
        if label is None:
            place = where.removesuffix(f" of '{path}'")
            unknown.append(f"{repr(fields[field])[:60]} ({place})")
        number = fields.get("set", 0)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**31:
            raise UserError(f"'set' in {where} is {repr(number)[:60]}, not a whole number from 0 on")
        numbered.append("set" in fields)
        rows.append((number, (texts, label)))
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        names = ", ".join(spec.label_names[:8]) + (", ..." if spec.num_labels > 8 else "")
        raise UserError(
            f"'{file}' has labels that {spec.name} does not have: {', '.join(unknown[:_NAMED])}{more}; its labels are "
            f"{names} (or their ids, 0 to {spec.num_labels - 1})"
        )
    if not rows:
        raise UserError(f"'{file}' holds no demonstrations: it is empty")
    if any(numbered) and not all(numbered):
        raise UserError(
            f"{sum(numbered)} of {len(rows)} rows of '{file}' have a 'set': give it to all of them or none"
        )
    return rows


def _texts(fields: dict[str, Any], spec: TaskSpec, where: str) -> Texts:
    for column in spec.text_columns:
        if column not in fields:
            raise UserError(f"{where} has no '{column}'.{closest(column, fields)} Its fields are {', '.join(fields)}.")
        if not isinstance(fields[column], str):
            raise UserError(f"'{column}' in {where} is {repr(fields[column])[:60]}, not text")
        try:
            fields[column].encode()
        except UnicodeEncodeError as error:
            raise UserError(f"'{column}' in {where} holds half of a surrogate pair, which is no character") from error
    return tuple(fields[column] for column in spec.text_columns)


def _label_id(value: Any, spec: TaskSpec) -> int | None:
    """Returns the id of a label that is given by its name or id, or `None` if there is no such label."""
    if isinstance(value, bool):
        value = str(value)  # as label names are made of truth values
    if isinstance(value, int):
        return value if 0 <= value < spec.num_labels else None
    return spec.label_names.index(value) if value in spec.label_names else None
