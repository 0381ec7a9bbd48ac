# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""One table as CSV, Markdown and LaTeX; what is text stays text in each."""

import pytest

from ddg_hf.report.tables import Column, Table, duration, escape_latex, shown, to_csv, to_latex, to_markdown
from ddg_hf.report.values import Estimate

COLUMNS = [
    Column("dpc", "DPC", "count"),
    Column("method", "Method"),
    Column("raw", "Raw, %", "percent"),
    Column("p", kind="p"),
]
TABLE = Table(
    "accuracy",
    "Accuracy",
    COLUMNS,
    [[5, "a_b & <c>", Estimate(0.895, 0.863, 0.927), 0.0004], [5, "x|y $1$", Estimate(0.5), None]],
    note="100 % real",
    best=frozenset({(0, 2)}),
)


def test_csv_has_raw_values():
    assert to_csv(TABLE) == (
        "dpc,method,raw,raw_low,raw_high,p\n5,a_b & <c>,0.895,0.863,0.927,0.0004\n5,x|y $1$,0.5,,,\n"
    )


def test_csv_quotes_commas_quotes_and_line_breaks():
    table = Table("t", "T", [Column("text")], [['say "a, b"'], ["two\nlines"]])
    assert to_csv(table) == 'text\n"say ""a, b"""\n"two\nlines"\n'


def test_markdown():
    assert to_markdown(TABLE) == (
        "Accuracy\n\n"
        "| DPC | Method | Raw, % | p |\n"
        "| --- | --- | --- | --- |\n"
        "| 5 | a_b &#38; &#60;c&#62; | **89.5 [86.3, 92.7]** | < 0.001 |\n"
        "| 5 | x&#124;y &#36;1&#36; | 50.0 | – |\n\n"
        "100 % real\n"
    )


def test_latex():
    assert to_latex(TABLE) == (
        "% \\usepackage{booktabs}\n"
        "\\begin{table}\n"
        "  \\centering\n"
        "  \\begin{tabular}{rlrr}\n"
        "    \\toprule\n"
        "    DPC & Method & Raw, \\% & p \\\\\n"
        "    \\midrule\n"
        "    5 & a\\_b \\& \\textless{}c\\textgreater{} & \\textbf{89.5 [86.3, 92.7]} & \\textless{} 0.001 \\\\\n"
        "    5 & x\\textbar{}y \\$1\\$ & 50.0 & -- \\\\\n"
        "    \\bottomrule\n"
        "  \\end{tabular}\n"
        "  \\caption{Accuracy. 100 \\% real}\n"
        "\\end{table}\n"
    )


def test_every_special_character_of_latex():
    assert escape_latex(r'\{}$&#_%~^<>|"') == (
        r"\textbackslash{}\{\}\$\&\#\_\%\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"
        r"{\ttfamily\char34}"
    )
    assert escape_latex("a\nb\x1b[31m\u202e") == "a b [31m "
    assert escape_latex("−1.2") == "$-$1.2"


def test_a_line_of_latex_does_not_begin_with_a_bracket():
    table = Table("t", "T", [Column("text")], [["[5pt] x"], ["* y"]])
    assert r"    {}[5pt] x \\" in to_latex(table) and r"    {}* y \\" in to_latex(table)


@pytest.mark.parametrize(
    ("value", "column", "expected"),
    [
        (Estimate(0.013, -0.012, 0.039), Column("", kind="points"), "+1.3 [−1.2, +3.9]"),
        (-0.0004, Column("", kind="points"), "0.0"),
        (0.00099, Column("", kind="p"), "< 0.001"),
        (0.001, Column("", kind="p"), "0.001"),
        (1.0, Column("", kind="p"), "1.000"),
        (4800, Column("", kind="count"), "4,800"),
        (0.5, Column("", kind="count"), "0.5"),
        (1.2e15, Column("", kind="scientific"), "1.2e15"),
        (None, Column(""), "–"),
        ("", Column(""), "–"),
        (0, Column("", kind="count"), "0"),
    ],
)
def test_values_as_people_read_them(value, column, expected):
    assert shown(value, column) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.5, "0.5 s"), (59, "59 s"), (90, "1.5 min"), (5400, "1.5 h"), (360_000, "100.0 h")]
)
def test_durations(seconds, expected):
    assert duration(seconds) == expected
