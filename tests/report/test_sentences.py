# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Sentences say who is ahead, and whether that can be told."""

from pathlib import Path

import pytest

from ddg_hf.report.collect import Contents
from ddg_hf.report.model import Comparison, Method, Results, Row
from ddg_hf.report.samples import Samples
from ddg_hf.report.sentences import compared, sentences
from ddg_hf.report.values import Estimate
from tests.report import builders

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
            "DDG less random real rows: +1.3 points [−1.2, +3.9] at DPC 5: the interval includes zero.",
        ),
        (
            [comparison(5, -0.08, -0.12, -0.04, 0.0002)],
            "DDG is behind random real rows: −8.0 points [−12.0, −4.0] at DPC 5: the interval excludes zero (p after "
            "Holm's correction < 0.001).",
        ),
        (
            [comparison(5, 0.02, 0.01, 0.03, 0.02), comparison(10, -0.01, -0.03, 0.01, 0.4)],
            "DDG less random real rows: +2.0 points [+1.0, +3.0] at DPC 5, −1.0 points [−3.0, +1.0] at DPC 10: 1 "
            "of 2 intervals excludes zero, 1 with p below 0.05 after Holm's correction.",
        ),
        (
            [comparison(5, 0.02, -0.01, 0.03), comparison(10, 0.01, -0.03, 0.05)],
            "DDG less random real rows: +2.0 points [−1.0, +3.0] at DPC 5, +1.0 points [−3.0, +5.0] at DPC 10: every "
            "interval includes zero.",
        ),
        (
            [comparison(5, 0.02, 0.01, 0.03), comparison(10, 0.01, 0.005, 0.05)],
            "DDG is ahead of random real rows: +2.0 points [+1.0, +3.0] at DPC 5, +1.0 points [+0.5, +5.0] at DPC 10: "
            "2 of 2 intervals exclude zero.",
        ),
        (
            [comparison(5, 0.02, 0.01, 0.03), comparison(10, -0.01, -0.02, -0.001)],
            "DDG less random real rows: +2.0 points [+1.0, +3.0] at DPC 5, −1.0 points [−2.0, −0.1] at DPC 10: 2 of 2 "
            "intervals exclude zero.",
        ),
        (
            [comparison(5, 0.02, None, None)],
            "DDG less random real rows: +2.0 points at DPC 5: without intervals nothing can be told.",
        ),
    ],
)
def test_differences(members, expected):
    assert compared(RESULTS, "calibrated", members) == f"In context, batch-calibrated, {expected}"


def rows(means: dict[tuple[str, int], float]) -> list[Row]:
    return [Row(method, dpc, accuracies={"raw": Estimate(mean)}) for (method, dpc), mean in means.items()]


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        (
            {("ddg", 5): 0.6, ("random", 5): 0.5, ("none", 0): 0.4},
            "DDG has the highest mean accuracy of 2 methods at DPC 5: 60.0 %.",
        ),
        (
            {("ddg", 5): 0.5, ("random", 5): 0.5},
            "DDG and random share the highest mean accuracy of 2 methods at DPC 5: 50.0 %.",
        ),
        (
            {("ddg", 5): 0.6, ("random", 5): 0.5, ("none", 0): 0.7},
            "DDG has the highest mean accuracy of 2 methods at DPC 5: 60.0 %; without demonstrations it is 70.0 %.",
        ),
        (
            {("ddg", 5): 0.6, ("random", 5): 0.5, ("ddg", 10): 0.7, ("none", 0): 0.4},
            "DDG has the highest mean accuracy of 2 methods at DPC 5: 60.0 %.",
        ),
        ({("ddg", 5): 0.6, ("none", 0): 0.4}, None),
    ],
)
def test_the_highest_mean(means, expected):
    results = Results("films", methods=RESULTS.methods, rows=rows(means))
    found = sentences(Contents(Path("films"), []), [results], Samples())
    assert found == ([f"On films, in context, raw, {expected}"] if expected else [])


def test_of_several_splits_each_sentence_names_its_own():
    results = Results("films", "test", methods=RESULTS.methods)
    assert compared(results, "calibrated", [comparison(5, 0.02, None, None)]).startswith("On films (test): In context")


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "what"),
    [
        (-0.2, 0.1, None, "it cannot be told whether sets with a higher gradient cosine are more accurate"),
        (0.1, 0.3, None, "sets with a higher gradient cosine are more accurate"),
        (-0.3, -0.1, 0.04, "sets with a higher gradient cosine are less accurate"),
        # The interval is of this one measurement, the table has several.
        (-0.3, -0.1, 0.13, "it cannot be told whether sets with a higher gradient cosine are more accurate"),
    ],
)
def test_whether_the_gradient_cosine_goes_with_accuracy(low, high, p_holm, what):
    correlation = {"mean": (low + high) / 2, "low": low, "high": high}
    row = {"measure": "gradient_cosine", "correlation": correlation, "num_sets": 60, "p_holm": p_holm}
    others = [{"measure": "self_bleu", "correlation": correlation}, {"measure": 3}]
    results = Results("films", rows=rows({("ddg", 5): 0.6}), transfer={"raw": [*others, row]})
    (found,) = sentences(Contents(Path("films"), []), [results], Samples())
    assert found.startswith(
        f"Among 60 sets, each compared with others of its kind, {what} in context: rank correlation "
    )
    assert found.endswith("]." if p_holm is None else f"] (p after Holm's correction = {p_holm:.3f}).")
    results = Results("films", rows=rows({("ddg", 5): 0.6}), transfer={"raw": others})
    assert sentences(Contents(Path("films"), []), [results], Samples()) == []


@pytest.mark.parametrize(
    ("pairs", "what"),
    [
        ([(0.7, 0.8)], "was 0.700 before it and 0.800 after it."),
        ([(0.8, 0.7)], "was 0.800 before it and 0.700 after it."),
        ([(0.7, 0.8), (0.8, 0.9), (None, 0.1)], "was 0.750 before it and 0.850 after it, means of 2 training seeds."),
    ],
)
def test_what_became_of_the_cosine_that_matching_maximises(pairs, what):
    rows_of = [builders.matching("ema", seed, *pair) for seed, pair in enumerate(pairs)]
    results = Results("films", rows=rows({("ddg", 5): 0.6}), matching=rows_of)
    (found,) = sentences(Contents(Path("films"), []), [results], Samples())
    assert found == f"The gradient cosine of fresh texts, which the matching of DDG is to raise, {what}"
    unknown = [builders.matching("ema", 0, None, 0.8), {"student": 3, "after": "x"}, {}]
    results = Results("films", rows=rows({("ddg", 5): 0.6}), matching=unknown)
    assert sentences(Contents(Path("films"), []), [results], Samples()) == []


def test_the_size_of_a_study_is_that_of_the_hardest_number_of_rows():
    few = {"dpc": 5, "points": 1, "num_sets": 20, "num_queries": 100}
    many = few | {"dpc": 10, "num_sets": 1500}
    power = {"raw": [few | {"points": 3}, many, few]}
    measured = [Row("ddg", 10, accuracies={"raw": Estimate(0.6)}, num_sets=30)]
    results = Results("films", methods=RESULTS.methods, rows=measured, power=power, facts={"queries": "300"})
    (found,) = sentences(Contents(Path("films"), []), [results], Samples())
    assert found == (
        "A true difference of 1 point with 10 rows per class would need about 1,500 sets of each method and 100 "
        "queries to be found; this study has up to 30 sets and 300 queries."
    )
