# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""One type of table, and its forms: CSV with raw values, and Markdown, LaTeX and cells of HTML as people read them."""

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..cards.text import escape_markdown
from ..cards.text import table as markdown_table
from .values import Estimate

ABSENT = "–"
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\ttfamily\char34}",  # \textquotedbl needs another font encoding than LaTeX has by default
    "–": "--",
    "−": "$-$",
    "…": r"\ldots{}",
}


@dataclass(frozen=True)
class Column:
    """
    A column of a [`Table`].

    Attributes:
        name: Name in CSV files; an interval has two more columns, `<name>_low` and `<name>_high`.
        title: What is written above it; `name` unless given.
        kind: How values are written: `text`, `count`, `number`, `percent` (of a fraction), `points` (a difference of
            fractions, with its sign), `p` (a p-value), `seconds`, `scientific`, or `status` of a check.
        digits: Digits after the decimal point.
    """

    name: str
    title: str = ""
    kind: str = "text"
    digits: int = 1

    @property
    def heading(self) -> str:
        """What is written above it."""
        return self.title or self.name

    @property
    def is_number(self) -> bool:
        """Whether it is set flush right."""
        return self.kind not in ("text", "status")


@dataclass(frozen=True)
class Table:
    """
    Rows of cells, each a text, a number, an [`~ddg_hf.report.values.Estimate`] or None.

    Attributes:
        name: Stem of its files.
        title: Its caption.
        columns: The columns.
        rows: The rows, with a cell for each column.
        note: What a reader has to know about it, one or two sentences.
        best: Places (row, column) that are emphasised.
        folded: Whether it is folded up on the page.
        header: Name of the column that says what a row is about; by default the first one of texts.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    best: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    folded: bool = False
    header: str = ""


def shown(value: Any, column: Column) -> str:
    """Returns a cell as people read it; numbers have a minus sign, not a hyphen."""
    if value is None or value == "":
        return ABSENT
    if isinstance(value, Estimate):
        mean = _figure(value.mean, column)
        if not value.has_interval:
            return mean
        return f"{mean} [{_figure(value.low, column)}, {_figure(value.high, column)}]"
    if isinstance(value, str):
        return value
    return _figure(value, column)


def _figure(value: float, column: Column) -> str:
    return _hyphenated(value, column).replace("-", "−")


def _hyphenated(value: float, column: Column) -> str:
    kind, digits = column.kind, column.digits
    if kind in ("percent", "points"):
        rounded = round(100 * value, digits) + 0.0  # no -0.0
        return f"{rounded:+.{digits}f}" if kind == "points" and rounded else f"{rounded:.{digits}f}"
    if kind == "p":
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    if kind == "seconds":
        return duration(value)
    if kind == "scientific":
        return f"{value:.2g}" if 0.01 <= abs(value) < 1000 or value == 0 else f"{value:.1e}".replace("e+", "e")
    if kind == "number":
        return f"{value:,.{digits}f}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def duration(seconds: float) -> str:
    """Returns seconds in the unit that people would choose."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def to_csv(table: Table) -> str:
    """Returns the raw values as CSV: fractions, seconds, and the limits of intervals in columns of their own."""
    split = [any(isinstance(row[i], Estimate) for row in table.rows) for i in range(len(table.columns))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = []
    for column, wide in zip(table.columns, split, strict=True):
        header += [column.name, f"{column.name}_low", f"{column.name}_high"] if wide else [column.name]
    writer.writerow(header)
    for row in table.rows:
        line: list[Any] = []
        for value, wide in zip(row, split, strict=True):
            if not wide:
                line.append(value)
            else:
                line += value if isinstance(value, Estimate) else (value, None, None)
        writer.writerow(["" if value is None else value for value in line])
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """Returns the table in Markdown, its title above; text stays text, emphasised cells are bold."""
    head = [escape_markdown(column.heading) for column in table.columns]
    body = [
        [
            f"**{_plain(value, column)}**" if (i, j) in table.best else _plain(value, column)
            for j, (value, column) in enumerate(zip(row, table.columns, strict=True))
        ]
        for i, row in enumerate(table.rows)
    ]
    lines = [escape_markdown(table.title), markdown_table(head, body)]
    return "\n\n".join([*lines, escape_markdown(table.note)] if table.note else lines) + "\n"


def _plain(value: Any, column: Column) -> str:
    cell = shown(value, column)
    return escape_markdown(cell) if isinstance(value, str) else cell


def to_latex(table: Table) -> str:
    """Returns the table in LaTeX (`booktabs`), its caption below; emphasised cells are bold."""
    alignment = "".join("r" if column.is_number else "l" for column in table.columns)
    lines = [r"% \usepackage{booktabs}", r"\begin{table}", r"  \centering", rf"  \begin{{tabular}}{{{alignment}}}"]
    lines += [
        r"    \toprule",
        _latex_line([escape_latex(column.heading) for column in table.columns]),
        r"    \midrule",
    ]
    for i, row in enumerate(table.rows):
        cells = [escape_latex(shown(value, column)) for value, column in zip(row, table.columns, strict=True)]
        cells = [rf"\textbf{{{cell}}}" if (i, j) in table.best else cell for j, cell in enumerate(cells)]
        lines.append(_latex_line(cells))
    caption = f"{table.title}. {table.note}".strip() if table.note else f"{table.title}."
    lines += [r"    \bottomrule", r"  \end{tabular}", rf"  \caption{{{escape_latex(caption)}}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_line(cells: Sequence[str]) -> str:
    # A line that begins with a bracket would be read as an option of the line break before it.
    first = rf"{{}}{cells[0]}" if cells and cells[0].startswith(("[", "*")) else (cells[0] if cells else "")
    return "    " + " & ".join([first, *cells[1:]]) + r" \\"


def escape_latex(text: str) -> str:
    """Returns text that LaTeX sets as it is, in one line; what cannot be printed becomes a space."""
    printable = "".join(char if _is_printable(char) else " " for char in text)
    return "".join(_LATEX.get(char, char) for char in printable)


def _is_printable(char: str) -> bool:
    return unicodedata.category(char)[0] not in "CZ"
