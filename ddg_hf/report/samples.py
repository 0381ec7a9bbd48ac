# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Rows of distilled sets for the page, each with the nearest training row; and what the checks found in the sets."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError
from ..formats.directory import CONFIG
from ..quality import CHECKS
from ..terminal import warn
from .collect import Contents, Run
from .evaluations import distilled, method_of
from .nearest import MEASURE, NEAR_COPY, nearest_rows
from .real_rows import TrainingRows, why_not
from .tables import Column, Table
from .values import mapping, mappings

logger = logging.getLogger(__name__)

MOST_ROWS = 20_000
_MOST_COLUMNS = 6
_BETWEEN = "\n"  # texts of a row of several columns, one below the other


@dataclass
class Samples:
    """
    Rows of distilled sets.

    Attributes:
        rows: Each with `method`, `dpc`, `set`, `label`, `loss`, `text`, `similarity` and `nearest`.
        total: How many there are; more than `rows` if these were cut.
        notes: What a reader has to know.
        expected: Share of validation rows that are as similar to a training row as a near copy: what is to be expected
            of texts that are no copies; None if there are no validation rows.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    notes: list[str] = field(default_factory=list)
    expected: float | None = None

    @property
    def compared(self) -> list[dict[str, Any]]:
        """The rows whose nearest training row is known."""
        return [row for row in self.rows if row["similarity"] is not None]

    @property
    def near_copies(self) -> int:
        """How many rows are more similar to a training row than [`NEAR_COPY`]."""
        return sum(row["similarity"] > NEAR_COPY for row in self.compared)


def samples_of(contents: Contents, training: TrainingRows) -> Samples:
    """
    Returns the rows of all sets that are not training rows themselves. If there are more than 20,000, those of the
    first sets of each directory.

    Raises:
        UserError: a directory of distilled sets cannot be read, or the training rows that the user named.
    """
    arguments = contents.study.arguments if contents.study is not None else {}
    directories = distilled(contents)
    counts = [sum(run.sets.table(config).num_rows for config in run.sets.configs) for run in directories]
    result = Samples(total=sum(counts))
    for run, share in zip(directories, shares(counts, MOST_ROWS), strict=True):
        rows = _first_sets(_rows(contents, run), share)
        note = _add_nearest(result, rows, run, training, arguments)
        if note and note not in result.notes:
            result.notes.append(note)
        rows.sort(key=lambda row: (row["dpc"], row["set"], row["label"]))
        result.rows += rows
    if len(result.rows) < result.total:
        result.notes.append(
            f"Shown are {len(result.rows):,} of {result.total:,} rows: the first sets of each directory."
        )
    return result


def shares(counts: Sequence[int], most: int) -> list[int]:
    """Returns how many of each of several counts are taken: all, or as equal parts of `most` as there can be."""
    taken = list(counts)
    left = most
    for place, i in enumerate(sorted(range(len(counts)), key=counts.__getitem__)):
        taken[i] = min(counts[i], left // (len(counts) - place))
        left -= taken[i]
    return taken


def _first_sets(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The first sets, whole ones unless the very first has more than `most` rows."""

    def place(row: dict[str, Any]) -> tuple[int, int]:
        return row["set"], row["dpc"]

    rows = sorted(rows, key=place)
    if len(rows) <= most:
        return rows
    end = next((i for i in range(most, 0, -1) if place(rows[i]) != place(rows[i - 1])), most)
    return rows[:end]


def _rows(contents: Contents, run: Run) -> list[dict[str, Any]]:
    sets, title = run.sets, _title(contents, run)
    found = []
    for config in sets.configs:
        columns = sets.table(config).to_pydict()
        row_texts = list(zip(*(columns[name] for name in sets.spec.text_columns), strict=True))
        dpc = int(CONFIG.fullmatch(config)[1])
        for row, label, set_number, loss in zip(
            row_texts, columns["label"], columns["set"], columns["generator_loss"], strict=True
        ):
            found.append(
                {
                    "method": title,
                    "dpc": dpc,
                    "set": set_number,
                    "label": sets.spec.label_names[label],
                    "loss": None if loss is None or not math.isfinite(loss) else round(loss, 3),
                    "text": _BETWEEN.join(row),
                    "similarity": None,
                    "nearest": "",
                }
            )
    return found


def _title(contents: Contents, run: Run) -> str:
    """The method that made the sets, and the seed where a study has several of it."""
    title = method_of(contents, run).title
    cell = contents.study.cell(run.name) if contents.study is not None else None
    if cell is None or cell.seed is None:
        return title
    alike = [
        other
        for run in distilled(contents)
        if (other := contents.study.cell(run.name)) is not None and other.method == cell.method
    ]
    return f"{title}, seed {cell.seed}" if len(alike) > 1 else title


def _add_nearest(samples: Samples, rows: list[dict], run: Run, training: TrainingRows, arguments) -> str:
    """Adds the nearest training row to each row; returns what a reader has to know about that."""
    try:
        real = training.of(run, arguments)
    except UserError as error:
        given = [f"--{name}" for name in ("task", "data_dir", "train") if getattr(training, name) is not None]
        if given:
            reason = " ".join(str(error).split())
            raise UserError(f"{', '.join(given)}: not the training rows of '{run.name}': {reason}") from error
        note = why_not(error)
        if note not in samples.notes:
            warn(f"warning: {note}")
        return note
    logger.info("%s: %d rows, nearest of %d training rows", run.name, len(rows), len(real.train))
    train = [_BETWEEN.join(row) for row in real.train]
    for row, found in zip(rows, nearest_rows([row["text"] for row in rows], train), strict=True):
        row["similarity"] = round(found.similarity, 3)
        row["nearest"] = train[found.real_row] if found.real_row >= 0 else ""
    if samples.expected is None and real.validation:
        found = nearest_rows([_BETWEEN.join(row) for row in real.validation], train)
        samples.expected = sum(one.similarity > NEAR_COPY for one in found) / len(found)
    return real.note


def samples_table(samples: Samples) -> Table:
    """The rows as a table for files."""
    columns = [
        Column("method", "Made by"),
        Column("dpc", "DPC", "count"),
        Column("set", "Set", "count"),
        Column("label", "Label"),
        Column("loss", "Generator loss", "number", 3),
        Column("text", "Text"),
        Column("similarity", "Similarity", "number", 3),
        Column("nearest", "Nearest training row"),
    ]
    rows = [[row[column.name] for column in columns] for row in samples.rows]
    note = f"Similarity: {MEASURE}."
    return Table("samples", "Distilled samples", columns, rows, note)


def checks_table(contents: Contents) -> Table | None:
    """
    What the checks found in each directory and configuration; None if there are no checked sets. A row for each check;
    if there are many sets, a row for each of these.
    """
    places, found = [], []
    for run in distilled(contents):
        for config in run.sets.configs if run.checks is not None else ():
            checks = mapping(run.checks["checks"])
            places.append((_title(contents, run), int(CONFIG.fullmatch(config)[1])))
            found.append([_check(mapping(checks.get(name)), config) for name in CHECKS])
    if not found:
        return None
    titles = [name.replace("_", " ").capitalize() for name in CHECKS]
    if len(found) > _MOST_COLUMNS:
        columns = [Column("sets", "Sets"), Column("dpc", "DPC", "count")]
        columns += [Column(name, title, "status") for name, title in zip(CHECKS, titles, strict=True)]
        rows = [[*place, *cells] for place, cells in zip(places, found, strict=True)]
    else:
        columns = [Column("check", "Check")]
        columns += [Column(f"{title}, dpc_{dpc}", f"{title}, DPC {dpc}", "status") for title, dpc in places]
        columns.append(Column("looks_for", "Looks for"))
        cells = zip(*found, strict=True)
        rows = [[title, *mine, text] for title, mine, text in zip(titles, cells, CHECKS.values(), strict=True)]
    return Table("checks", "What the checks found", columns, rows)


def _check(check: Mapping[str, Any], config: str) -> str:
    """A status and how many rows or sets were found."""
    found = mapping(mapping(check.get("configs")).get(config))
    status = str(found.get("status", "not run")).replace("_", " ")
    if status in ("ok", "not run"):
        return status
    unit = check.get("unit")
    return f"{status}: {found.get('found')} of {found.get(str(unit))} {unit}"


def leaks(contents: Contents) -> list[dict[str, Any]]:
    """Findings of copies and near copies that the checks list, each with its place."""
    found = []
    for run in distilled(contents):
        for name in ("copies", "near_copies"):
            check = mapping(mapping((run.checks or {}).get("checks")).get(name))
            found += [{"sets": _title(contents, run), "check": name, **one} for one in mappings(check.get("examples"))]
    return found


def leak_table(contents: Contents) -> Table | None:
    """Copies and near copies of real rows that the checks list, or None if there are none."""
    found = leaks(contents)
    if not found:
        return None
    columns = [
        Column("sets", "Sets"),
        Column("place", "Row"),
        Column("label", "Label"),
        Column("check", "Found"),
        Column("real", "Real row"),
        Column("similarity", "Similarity", "number", 2),
    ]
    rows = [
        [
            one["sets"],
            f"{one.get('config')}, set {one.get('set')}, row {one.get('row')}",
            str(one.get("label")),
            "copy" if one["check"] == "copies" else f"near copy ({one.get('measure')})",
            f"{one.get('split')} {one.get('real_row')}",
            one.get("similarity") if isinstance(one.get("similarity"), float) else None,
        ]
        for one in found
    ]
    note = "Examples that ddg-hf check listed. Rows are named by their place, counted from 0."
    return Table("leaks", "Copies and near copies of real rows", columns, rows, note)


def not_checked(contents: Contents) -> Sequence[Run]:
    """The directories of distilled sets without checks of these very rows."""
    return [run for run in distilled(contents) if run.checks is None]
