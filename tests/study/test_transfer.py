# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Whether measures of sets go with their accuracy: which sets are compared, and what the table says."""

import numpy as np
import pytest
from scipy import stats

from ddg_hf.study.comparisons import Side
from ddg_hf.study.methods import method_named
from ddg_hf.study.results import _groups, _Measured
from ddg_hf.study.transfer import MEASURES, transfer_table


def measured(accuracies_by_seed: dict[int, list[float]], cosines_by_seed: dict[int, list[float]], order=None):
    """A method with sets of several training seeds, 20 queries."""
    rows = [np.arange(20) < round(20 * a) for values in accuracies_by_seed.values() for a in values]
    seeds = [seed for seed, values in accuracies_by_seed.items() for _ in values]
    side = Side(np.array(rows, float), np.array(seeds), np.arange(20))
    measures = {}
    for seed, values in cosines_by_seed.items():
        numbers = order or list(range(len(values)))
        by_name = {name: [values[i] for i in numbers] for name in MEASURES}
        measures[seed] = {"sets": numbers, "rows": 2 * len(values), **by_name}
    return _Measured(method_named("ddg", {}), 5, {"raw": side}, {}, measures, {}, len(seeds))


def test_sets_are_compared_within_a_training_seed():
    entry = measured({0: [0.5, 0.6, 0.7], 1: [0.9, 0.8, 0.95]}, {0: [0.1, 0.2, 0.3], 1: [0.7, 0.9, 0.8]})
    groups = _groups([entry], "raw")
    assert [accuracies for _, accuracies in groups] == [[0.5, 0.6, 0.7], [0.9, 0.8, 0.95]]
    assert [measures["gradient_cosine"] for measures, _ in groups] == [[0.1, 0.2, 0.3], [0.7, 0.9, 0.8]]
    table = transfer_table(groups)
    plain = [stats.spearmanr(measures["self_bleu"], accuracies).statistic for measures, accuracies in groups]
    assert [row["measure"] for row in table] == list(MEASURES)
    for row in table:
        assert row["correlation"]["mean"] == pytest.approx(np.mean(plain))
        assert (row["num_groups"], row["num_sets"]) == (2, 6) and row["p_value"] <= row["p_holm"] <= 1


def test_measures_are_in_the_order_of_the_predictions():
    entry = measured({0: [0.5, 0.6, 0.7, 0.8]}, {0: [0.1, 0.2, 0.3, 0.4]}, order=[2, 0, 3, 1])
    (row, *_) = transfer_table(_groups([entry], "raw"))
    assert row["correlation"]["mean"] == pytest.approx(1.0)


def test_sets_that_were_not_measured_are_left_out():
    entry = measured({0: [0.5, 0.6, 0.7], 1: [0.9, 0.8, 0.95]}, {0: [0.1, 0.2, 0.3]})
    assert len(_groups([entry], "raw")) == 1
    assert _groups([entry], "calibrated") == [] and transfer_table([]) == []


def test_sets_that_are_all_the_same_have_no_ranks():
    same = measured({0: [0.5, 0.6, 0.7, 0.8]}, {0: [0.925548, 0.925547, 0.925548, 0.925547]})
    assert transfer_table(_groups([same], "raw")) == []
    other = measured({0: [0.5, 0.6, 0.7, 0.8]}, {0: [0.92555, 0.92554, 0.92555, 0.92554]})
    assert transfer_table(_groups([same, other], "raw"))[0]["num_groups"] == 1
