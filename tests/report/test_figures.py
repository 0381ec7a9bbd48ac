# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Parts of figures, and what the page shows of long tables."""

import dataclasses
import warnings

import numpy as np
import pytest

from ddg_hf.report.collect import collect
from ddg_hf.report.confusion import Confusion, confusion_plots, confusion_table, confusions
from ddg_hf.report.costs import duration_ticks, tick_label
from ddg_hf.report.curves import moving_average
from ddg_hf.report.figures import Plot, inline_svg, look, new_figure, save_figures, spread_out
from ddg_hf.report.page import Section, row_header, thinned, with_own_names
from ddg_hf.report.tables import Column, Table
from tests.report import builders


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([1.0, 5.0], [1.0, 5.0]),
        ([5.0, 5.0, 5.0], [5.0, 6.0, 7.0]),
        ([9.9, 9.8], [10.0, 9.0]),
        ([-3.0, 4.0], [0.0, 4.0]),
    ],
)
def test_names_are_moved_apart(positions, expected):
    assert spread_out(positions, 1.0, 0.0, 10.0) == pytest.approx(expected)


def test_moving_average():
    values = [float(i % 2) for i in range(600)]
    smooth = moving_average(values)
    assert len(smooth) == 600 and max(abs(value - 0.5) for value in smooth) < 0.06
    assert moving_average([1.0, 2.0, 6.0]) == pytest.approx([1.5, 3.0, 4.0])


def test_every_series_looks_different():
    looks = [look(i) for i in range(24)]
    assert len(set(looks)) == 24 and len({one.color for one in looks[:8]}) == 8


def test_long_tables_of_curves_are_thinned_and_say_so():
    table = Table("t", "T", [Column("run"), Column("step")], [["a", i] for i in range(1000)], "Note.")
    short = thinned(table)
    assert len(short.rows) == 250 and short.rows[:2] == [["a", 0], ["a", 4]]
    assert short.note == "Note. One of every 4 of 1,000 rows; the CSV file has all."
    assert thinned(short) is short


def test_other_long_tables_are_cut_and_say_so():
    table = Table("t", "T", [Column("n")], [[i] for i in range(1000)], "Note.", frozenset({(2, 0), (700, 0)}))
    short = thinned(table)
    assert short.rows == [[i] for i in range(300)] and short.best == {(2, 0)}
    assert short.note == "Note. The first 300 of 1,000 rows; the CSV file has all."
    assert thinned(short) is short


def a_plot(name: str, text: str) -> Plot:
    def draw():
        figure, (axes,) = new_figure(2.0, 1.5)
        axes.set_title(text)
        return figure

    return Plot(name, name, "", "", Table(name, name, [Column("n", kind="count")], [[1]]), draw)


def test_files_for_papers_warn_once_of_characters_that_the_font_lacks(tmp_path, capsys, recwarn):
    pytest.importorskip("matplotlib")
    plots = [a_plot("one", "\u7535\u5f71"), a_plot("two", "\u5f71 film"), a_plot("three", "film")]
    for plot in plots:
        inline_svg(plot)
    assert capsys.readouterr().err == "" and not recwarn.list  # a page has the fonts of the browser
    save_figures(plots, tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("lacks: \u5f71\u7535 (in one, two)") and not recwarn.list
    assert len(list(tmp_path.iterdir())) == 9


def test_other_warnings_of_a_drawing_are_kept(tmp_path):
    pytest.importorskip("matplotlib")

    def draw():
        warnings.warn("something else", stacklevel=1)
        return new_figure(2.0, 1.5)[0]

    with pytest.warns(UserWarning, match="something else"):
        save_figures([dataclasses.replace(a_plot("one", ""), draw=draw)], tmp_path)


def test_figures_and_tables_of_one_name_get_their_own():
    plot, table = a_plot("x", ""), Table("x", "T", [], [])
    sections = with_own_names(
        [Section("s", "S", blocks=[plot, table]), Section("t", "T", blocks=[plot, a_plot("x-2", "")])]
    )
    assert [[block.name for block in section.blocks] for section in sections] == [["x", "x-3"], ["x-4", "x-2"]]
    assert sections[1].blocks[0].table.name == "x-4"


def test_the_first_column_of_texts_is_the_header_of_a_row():
    assert row_header(Table("t", "T", [Column("dpc", kind="count"), Column("label"), Column("method")], [])) == 1
    assert row_header(Table("t", "T", [Column("dpc", kind="count")], [])) is None


def matrix(method: str, dpc: int, measure: str = "calibrated", size: int = 2, missed: int = 3) -> Confusion:
    counts = np.zeros((size, size + 1), dtype=np.int64)
    np.fill_diagonal(counts, 10)
    counts[0, 1] = missed
    return Confusion("films", method, measure, dpc, tuple(f"label {i}" for i in range(size)), counts)


def test_confusion_of_the_greatest_dpc_is_drawn():
    found = [matrix("DDG", 5), matrix("DDG", 10, missed=10), matrix("random", 5), matrix("DDG", 10, "raw")]
    plots = confusion_plots(found, ["random", "DDG"])
    assert [plot.title for plot in plots] == ["random, DPC 5", "DDG, DPC 10"]
    assert plots[1].table.rows == [["label 0", 10, 10], ["label 1", 0, 10]]
    assert "20 of 30 answers are right" in plots[1].caption
    assert "label 0 taken for label 1, 50 percent" in plots[1].description
    assert [row[:3] for row in confusion_table(found).rows][1] == ["DDG", "In context, batch-calibrated", 10]


def test_confusion_of_many_labels_has_pairs_as_its_table():
    (plot,) = confusion_plots([matrix("DDG", 5, size=50)], [])
    assert plot.table.rows == [("label 0", "label 1", 3, 3 / 13)]


def test_methods_that_are_in_no_results_are_drawn_in_their_order():
    names = [f"method {i}" for i in range(20)]
    plots = confusion_plots([matrix(name, 5) for name in names], ["method 7"])
    assert [plot.title for plot in plots] == [f"{name}, DPC 5" for name in ["method 7", *names[:7], *names[8:]]]


def test_matrices_of_splits_and_models_and_rounds_are_not_added_up(tmp_path):
    for i, (split, model, rounds) in enumerate(
        [
            ("validation", "a", 2),
            ("validation", "a", 2),
            ("validation", "b", 2),
            ("validation", "b", 1),
            ("test", "a", 2),
        ]
    ):
        builders.icl_run(tmp_path / f"run_{i}", split=split, model=f"org/{model}", rounds=rounds)
    found = confusions(collect(tmp_path))
    sums = {(one.title, one.measure.partition("@")[0]): one.counts.sum() for one in found}
    expected = {
        "balanced random, DPC 2, org/a, validation": 80,
        "balanced random, DPC 2, org/b, validation": 40,
        "balanced random, 1 rounds, DPC 2, org/b, validation": 40,
        "balanced random, DPC 2, test": 40,
    }
    assert sums == {(title, kind): n for title, n in expected.items() for kind in ("raw", "calibrated")}
    plots = confusion_plots(found, [])
    assert {plot.title for plot in plots} == set(expected)
    assert len({plot.name for plot in plots}) == 4 and all("calibrated" in plot.name for plot in plots)
    table = confusion_table(found)
    assert [column.name for column in table.columns][:3] == ["split", "method", "measure"]
    assert {row[0] for row in table.rows} == {"validation", "test"}


@pytest.mark.parametrize(
    ("low", "high", "values", "expected"),
    [
        (1, 1000, [2, 900], ["1 s", "5 s", "20 s", "2 min", "10 min"]),
        (39, 51, [50, 40], ["40 s", "50 s"]),
        (190_000, 315_000, [200_000, 300_000], ["2.31 d", "3.47 d"]),
        (0.0085, 0.035, [0.01, 0.03], ["0.01 s", "0.02 s"]),
        (86_400, 1_000_000, [90_000], ["1 d", "2 d", "5 d", "10 d"]),
        (41, 43, [41.1, 41.2, 42.4], ["41 s", "42 s"]),
    ],
)
def test_every_axis_of_durations_has_ticks(low, high, values, expected):
    assert [tick_label(tick) for tick in duration_ticks(low, high, values)] == expected
