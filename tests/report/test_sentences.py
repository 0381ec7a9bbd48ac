# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Sentences say who is ahead, and whether that can be told."""

import pytest

from ddg_hf.report.model import Comparison, Method, Results
from ddg_hf.report.sentences import compared
from ddg_hf.report.values import Estimate

RESULTS = Results("films", methods=[Method("ddg", "DDG", kind="generated"), Method("random", "random", kind="real")])


def comparison(
    dpc: int, mean: float, low: float | None, high: float | None, p_holm: float | None = None
) -> Comparison:
    return Comparison("calibrated", dpc, "ddg", "random", Estimate(mean, low, high), p_holm, p_holm)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (
            [comparison(5, 0.013, -0.012, 0.039)],
            "DDG is ahead of random real rows by +1.3 points [−1.2, +3.9] at DPC 5: the interval includes zero.",
        ),
        (
            [comparison(5, -0.08, -0.12, -0.04, 0.0002)],
            "DDG is behind random real rows by 8.0 points [4.0, 12.0] at DPC 5: the interval excludes zero (p after "
            "Holm's correction < 0.001).",
        ),
        (
            [comparison(5, 0.02, 0.01, 0.03, 0.02), comparison(10, -0.01, -0.03, 0.01, 0.4)],
            "DDG against random real rows: +2.0 points [+1.0, +3.0] at DPC 5, −1.0 points [−3.0, +1.0] at DPC 10: 1 "
            "of 2 intervals excludes zero, 1 with p below 0.05 after Holm's correction.",
        ),
        (
            [comparison(5, 0.02, -0.01, 0.03), comparison(10, 0.01, -0.03, 0.05)],
            "DDG is ahead of random real rows by +2.0 points [−1.0, +3.0] at DPC 5, +1.0 points [−3.0, +5.0] at DPC "
            "10: every interval includes zero.",
        ),
        (
            [comparison(5, 0.02, None, None)],
            "DDG is ahead of random real rows by +2.0 points at DPC 5: without intervals nothing can be told.",
        ),
    ],
)
def test_differences(members, expected):
    assert compared(RESULTS, "calibrated", members) == f"In context, batch-calibrated, {expected}"
