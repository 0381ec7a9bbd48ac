# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The page: sections of tables and figures, filled into one HTML file that needs nothing else."""

import base64
import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from ..version import __version__
from .figures import Plot, inline_svg
from .samples import Samples
from .tables import ABSENT, Table, shown, to_csv, to_latex, to_markdown
from .values import Estimate

_MOST_ROWS = 300  # of a table on the page; its CSV has all
_STEP = "step"  # the column that a table of curves has
_SAMPLE_KEYS = ("method", "dpc", "set", "label", "loss", "text", "similarity", "nearest")


@dataclass(frozen=True)
class Section:
    """
    A part of the page.

    Attributes:
        id: Its anchor.
        title: Its heading, also in the navigation.
        intro: A paragraph below the heading.
        blocks: Tables and figures, in their order.
        samples: Rows for the table of samples.
        groups: Lists of lines with a title, folded up.
        small: Whether its figures are small, three beside one another.
    """

    id: str
    title: str
    intro: str = ""
    blocks: Sequence[Plot | Table] = ()
    samples: Samples | None = None
    groups: Sequence[tuple[str, Sequence[tuple[str, str]]]] = ()
    small: bool = False


@dataclass(frozen=True)
class Page:
    """What the page says; see [`render`]."""

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    sentences: Sequence[str]
    sections: Sequence[Section]
    absent: Sequence[tuple[str, str]] = field(default_factory=list)
    created: str = ""


def render(page: Page) -> str:
    """
    Returns the page as HTML. Everything that comes from data is escaped; the only script that a browser may run is the
    page's own, which the content security policy names by its hash.
    """
    templates = resources.files("ddg_hf").joinpath("templates")
    css, script = (templates.joinpath(f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "cell": shown,
        "csv": lambda table: _data_uri("text/csv", to_csv(table)),
        "latex": lambda table: _data_uri("text/x-tex", to_latex(table)),
        "markdown": lambda table: _data_uri("text/markdown", to_markdown(table)),
        "svg": inline_svg,
        "row_header": row_header,
        "thinned": thinned,
        "scale": _scale,
        "samples_json": samples_json,
    }
    environment.tests |= {
        "plot": lambda block: isinstance(block, Plot),
        "estimate": lambda value: isinstance(value, Estimate),
        "absent": lambda value: value is None or value == "",
    }
    template = environment.from_string(templates.joinpath("report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        page=page,
        css=Markup(css),
        script=Markup(script),
        digest=digest,
        version=__version__,
        absent_sign=ABSENT,
    )


def _data_uri(kind: str, content: str) -> str:
    return f"data:{kind};charset=utf-8,{quote(content)}"


def thinned(table: Table) -> Table:
    """
    Returns a table with at most 300 of its rows and a note that says so: of curves some of all parts, of others the
    first ones, since no row of them stands for its neighbours.
    """
    total = len(table.rows)
    if total <= _MOST_ROWS:
        return table
    step = -(-total // _MOST_ROWS) if any(column.name == _STEP for column in table.columns) else 1
    kept = range(0, total, step)[:_MOST_ROWS]
    which = f"One of every {step}" if step > 1 else f"The first {len(kept)}"
    note = f"{table.note} {which} of {total:,} rows; the CSV file has all.".strip()
    best = frozenset((kept.index(row), column) for row, column in table.best if row in kept)
    return replace(table, rows=[table.rows[i] for i in kept], note=note, best=best)


def row_header(table: Table) -> int | None:
    """Returns the place of the column that says what a row is about: by default the first one of texts, or None."""
    named = (i for i, column in enumerate(table.columns) if column.name == table.header)
    return next(named, next((i for i, column in enumerate(table.columns) if column.kind == "text"), None))


def with_own_names(sections: Sequence[Section]) -> list[Section]:
    """
    Returns sections in which every figure and table has a name of its own, the second of a name with `-2`: elements
    of the page and files are found by it.
    """
    given = {block.name for section in sections for block in section.blocks}
    used: set[str] = set()
    return [
        replace(section, blocks=[_with_own_name(block, given, used) for block in section.blocks])
        for section in sections
    ]


def _with_own_name(block: Plot | Table, given: set[str], used: set[str]) -> Plot | Table:
    name = block.name
    if name in used:
        numbered = (f"{block.name}-{number}" for number in itertools.count(2))
        name = next(other for other in numbered if other not in given and other not in used)
    used.add(name)
    if name == block.name:
        return block
    if isinstance(block, Plot):
        return replace(block, name=name, table=replace(block.table, name=name))
    return replace(block, name=name)


def _scale(table: Table) -> dict[int, tuple[float, float]]:
    """For each column of intervals the least and the greatest limit: the ends of the scale of its small bars."""
    found = {}
    for i, column in enumerate(table.columns):
        values = [row[i] for row in table.rows if isinstance(row[i], Estimate) and row[i].has_interval]
        if len(values) > 1 and column.kind in ("percent", "points"):
            low, high = min(v.low for v in values), max(v.high for v in values)
            if column.kind == "points":
                low, high = min(low, 0.0), max(high, 0.0)
            if high > low:
                found[i] = (low, high)
    return found


def samples_json(samples: Samples) -> Markup:
    """Returns rows as JSON for a script element: nothing in it ends the element or begins another."""
    content: dict[str, Any] = {"columns": _SAMPLE_KEYS}
    content["rows"] = [[row[key] for key in _SAMPLE_KEYS] for row in samples.rows]
    dumped = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        dumped = dumped.replace(char, f"\\u{ord(char):04x}")
    # A half of a surrogate pair cannot be written as UTF-8.
    return Markup(dumped.encode("utf-8", "replace").decode("utf-8"))
