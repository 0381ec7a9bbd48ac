# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Teacher sets: coresets of the real training data."""

import numpy as np
import pytest

from ddg_hf.errors import UserError
from ddg_hf.selection.teacher_sets import build_teacher_set


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    labels = np.array([0] * 12 + [1] * 5 + [2])
    return rng.permutation(len(labels)), rng.normal(size=(len(labels), 4)).astype(np.float32), labels


def test_a_set_holds_rows_of_their_label_capped_at_half_the_class(data):
    order, embeddings, labels = data
    sets = [build_teacher_set(embeddings[order], labels[order], 3, per_class=4, seed=seed) for seed in range(4)]
    for teacher_set in sets:
        assert [len(rows) for rows in teacher_set] == [4, 2, 1]
        for label, rows in enumerate(teacher_set):
            assert (labels[order][rows] == label).all()
            assert len(set(rows.tolist())) == len(rows)
    assert len({tuple(sorted(s[0].tolist())) for s in sets}) > 1, "the sets differ"


def test_a_set_depends_on_the_seed_alone(data):
    _, embeddings, labels = data
    first = build_teacher_set(embeddings, labels, 3, 4, seed=1)
    again = build_teacher_set(embeddings, labels, 3, 4, seed=1)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_label_without_rows_is_an_error(data):
    _, embeddings, labels = data
    with pytest.raises(UserError, match="label 3"):
        build_teacher_set(embeddings, labels, 4, 4, seed=0)
