# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Parts of figures, and what the page shows of long tables."""

import numpy as np
import pytest

from ddg_hf.report.confusion import Confusion, confusion_plots, confusion_table
from ddg_hf.report.curves import moving_average
from ddg_hf.report.figures import look, spread_out
from ddg_hf.report.page import thinned
from ddg_hf.report.tables import Column, Table


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


def test_long_tables_are_thinned_and_say_so():
    table = Table("t", "T", [Column("n")], [[i] for i in range(1000)], "Note.")
    short = thinned(table)
    assert len(short.rows) == 250 and short.rows[:2] == [[0], [4]]
    assert short.note == "Note. One of every 4 of 1,000 rows; the CSV file has all."
    assert thinned(short) is short


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
