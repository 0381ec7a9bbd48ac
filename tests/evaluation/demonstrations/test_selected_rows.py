# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Sets of training rows by every selection."""

from collections import Counter

import numpy as np
import pytest

from ddg_hf.data.samplers import stable_seed
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations.selected_rows import KINDS, RowFacts, SelectionArguments, select_real_sets
from ddg_hf.evaluation.demonstrations.training_rows import draw_sets
from ddg_hf.evaluation.learner_snapshots import GradientFactors
from ddg_hf.selection import select_by_gradient, select_random
from ddg_hf.selection.gradient_matching import mean_gradient

SPEC = TaskSpec(name="colours", text_columns=("text",), label_names=("red", "blue"))
ROWS = [((f"text {i}",), i % 2) for i in range(60)]


@pytest.fixture
def facts():
    rng = np.random.default_rng(0)
    residuals = [rng.normal(size=(60, 2)) for _ in range(2)]
    features = [rng.normal(size=(60, 4)) for _ in range(2)]
    return RowFacts(
        embeddings_NH=rng.normal(size=(60, 6)),
        losses_N=rng.normal(size=60),
        gradients=[GradientFactors(r, f) for r, f in zip(residuals, features, strict=True)],
    )


def select(facts, seed=3, **options):
    return select_real_sets(ROWS, SPEC, SelectionArguments(**options), facts, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_sets_have_distinct_rows_of_every_class_and_differ(facts, kind):
    sets = select(facts, demonstrations=kind, dpc=[2, 4], num_sets=3, candidates_per_class=20)
    assert list(sets) == [2, 4]
    for n, rows in sets.items():
        by_set = {s: [row for row in rows if row.set == s] for s in range(3)}
        for members in by_set.values():
            assert Counter(row.label for row in members) == {0: n, 1: n}
            assert len({row.texts for row in members}) == 2 * n
            assert all((row.texts, row.label) in ROWS for row in members)
        assert len({frozenset(row.texts for row in members) for members in by_set.values()}) > 1
    assert select(facts, demonstrations=kind, dpc=[2, 4], num_sets=3, candidates_per_class=20) == sets
    assert select(facts, seed=4, demonstrations=kind, dpc=[2], num_sets=1, candidates_per_class=20)[2] != sets[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_does_not_depend_on_the_number_of_sets_and_sizes(facts, kind):
    alone = select(facts, demonstrations=kind, dpc=[4], num_sets=1, candidates_per_class=20)
    among = select(facts, demonstrations=kind, dpc=[1, 4], num_sets=3, candidates_per_class=20)
    assert [row for row in among[4] if row.set == 0] == alone[4]


@pytest.mark.parametrize("kind", ["balanced", "k_centers"])
def test_the_same_sets_as_the_evaluation_draws(facts, kind):
    ours = select(facts, demonstrations=kind, dpc=[3], num_sets=2)[3]
    theirs = draw_sets(kind, ROWS, SPEC, 3, 2, 3, lambda texts: facts.embeddings_NH)
    for member in theirs:
        assert {row.texts for row in ours if row.set == member.set_id} == {texts for texts, _ in member.rows}


def test_the_most_likely_rows(facts):
    rows = select(facts, demonstrations="generator_loss", dpc=[3], num_sets=5)[3]
    assert {row.set for row in rows} == {0}, "nothing is drawn: one set"
    for label in (0, 1):
        best = sorted(range(label, 60, 2), key=lambda i: facts.losses_N[i])[:3]
        assert [row.texts for row in rows if row.label == label] == [ROWS[i][0] for i in best]
        assert [row.generator_loss for row in rows if row.label == label] == [facts.losses_N[i] for i in best]


def test_the_target_of_gradients_is_the_whole_class(facts):
    """Also where the candidates are few."""
    rows = select(facts, demonstrations="gradient_selection", dpc=[3], num_sets=1, candidates_per_class=10)[3]
    members = np.arange(1, 60, 2)
    pool = np.sort(members[select_random(30, 10, stable_seed("pool", 3, 0, 1))])
    residuals = [part.residuals_NK for part in facts.gradients]
    features = [part.features_NH for part in facts.gradients]
    targets = []
    for r, f in zip(residuals, features, strict=True):
        ones = np.concatenate([f[members], np.ones((30, 1))], axis=1)
        matrix = r[members].T @ ones / 30  # [K, H + 1]: weight, then bias
        targets.append(np.concatenate([matrix[:, :-1].ravel(), matrix[:, -1]]))
    chosen = pool[select_by_gradient([r[pool] for r in residuals], [f[pool] for f in features], 3, targets)]
    assert [row.texts for row in rows if row.label == 1] == [ROWS[i][0] for i in chosen]


@pytest.mark.parametrize("size", [30, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_sets_differ_also_where_the_candidates_could_be_the_whole_class(facts, kind, size):
    """Each class has 30 rows."""
    rows = select(facts, demonstrations=kind, dpc=[4], num_sets=3, candidates_per_class=size)[4]
    assert {row.set for row in rows} == {0, 1, 2}
    for label in (0, 1):
        sets = [frozenset(row.texts for row in rows if (row.set, row.label) == (s, label)) for s in range(3)]
        assert len(set(sets)) > 1


def test_candidates_are_half_of_a_class_but_no_fewer_than_the_rows_to_choose(facts):
    options = {"demonstrations": "generator_loss", "num_sets": 1, "candidates_per_class": 1000}
    rows = select(facts, dpc=[4, 20], **options)
    assert rows[4] == select(facts, dpc=[4], candidates_per_class=15, demonstrations="generator_loss", num_sets=1)[4]
    members = np.arange(1, 60, 2)
    drawn = members[select_random(30, 15, stable_seed("pool", 3, 0, 1))]
    best = sorted(drawn, key=lambda i: facts.losses_N[i])[:4]
    assert [row.texts for row in rows[4] if row.label == 1] == [ROWS[i][0] for i in best]
    drawn = members[select_random(30, 20, stable_seed("pool", 3, 0, 1))]
    assert {row.texts for row in rows[20] if row.label == 1} == {ROWS[i][0] for i in drawn}


def test_gradients_of_a_head_without_a_bias():
    """The features of the rows are alike but for a constant, which only a bias would see."""
    rng = np.random.default_rng(5)
    residuals, features = 3 * rng.normal(size=(60, 2)), 0.1 * rng.normal(size=(60, 4))
    facts = RowFacts(gradients=[GradientFactors(residuals, features, bias=False)])
    rows = select(facts, demonstrations="gradient_selection", dpc=[3], num_sets=1, candidates_per_class=15)[3]
    members = np.arange(1, 60, 2)
    pool = np.sort(members[select_random(30, 15, stable_seed("pool", 3, 0, 1))])
    choices = {}
    for bias in (False, True):
        target = mean_gradient(residuals[members], features[members], bias)
        choices[bias] = pool[select_by_gradient([residuals[pool]], [features[pool]], 3, [target], bias)].tolist()
    assert choices[False] != choices[True]
    assert [row.texts for row in rows if row.label == 1] == [ROWS[i][0] for i in choices[False]]


def test_mistakes(facts):
    with pytest.raises(UserError, match="class 'red' has 30 training rows, fewer than --dpc 31"):
        select(facts, demonstrations="balanced", dpc=[31])
    with pytest.raises(UserError, match="--candidates_per_class 3 is less than --dpc 4"):
        SelectionArguments(dpc=[4], candidates_per_class=3)
    with pytest.raises(UserError, match="--dpc"):
        SelectionArguments(dpc=[])
    with pytest.raises(UserError, match="--num_sets"):
        SelectionArguments(num_sets=0)
