# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Teacher sets: shared among processes, kept on disk, and used only for the same data, encoder and arguments."""

import json
import logging

import pytest
import torch

from ddg_hf.errors import UserError
from ddg_hf.trainer import teacher
from ddg_hf.trainer.processes import Processes
from ddg_hf.trainer.teacher import rows_fingerprint, teacher_sets, weights_fingerprint
from tests.trainer.helpers import make_encoder, make_learner, make_rows


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DDG_HF_HOME", str(tmp_path))
    return tmp_path / "teacher_sets"


ROWS, LABELS = make_rows(60, relevant=0.9, seed=2)


def build(encoder, rows=ROWS, labels=LABELS, num_sets=3, per_class=5, seed=1, processes=None):
    return teacher_sets(encoder, rows, labels, 2, num_sets, per_class, seed, processes or Processes(), False)


def as_lists(sets):
    return [[rows.tolist() for rows in one] for one in sets]


def test_computed_once(cache, caplog, monkeypatch):
    encoder = make_encoder(make_learner())
    with caplog.at_level(logging.INFO, logger="ddg_hf"):
        first = build(encoder)
        assert "3 sets of 5 rows for each of 2 labels, computed in" in caplog.records[-1].getMessage()
        monkeypatch.setattr(encoder, "embed", None)
        assert as_lists(build(encoder)) == as_lists(first)
        assert "from '" in caplog.records[-1].getMessage()
    assert len(list(cache.iterdir())) == 1
    assert all(all(LABELS[i] == y for i in rows) for one in first for y, rows in enumerate(one))


def test_anything_else_is_computed_anew(cache):
    encoder = make_encoder(make_learner())
    build(encoder)
    other_rows, _ = make_rows(60, relevant=0.9, seed=3)
    build(encoder, rows=other_rows)
    build(encoder, labels=[1 - y for y in LABELS])
    build(encoder, num_sets=2)
    build(encoder, per_class=4)
    build(encoder, seed=2)
    encoder.model.pooler.dense.weight.data.mul_(2)
    build(encoder)
    assert len(list(cache.iterdir())) == 7


def test_processes_share_the_work_and_the_result_is_that_of_one(cache, monkeypatch):
    """Two processes in turn: each computes its share, and what both have gathered is what one computes alone."""
    monkeypatch.setattr(teacher, "CHUNK_SIZE", 16)
    encoder = make_encoder(make_learner())
    alone = build(encoder)
    rows_embedded = []
    embed = encoder.embed
    monkeypatch.setattr(encoder, "embed", lambda rows: rows_embedded.append(len(rows)) or embed(rows))

    class Half(Processes):
        """One of two processes; the other's share comes from `others`."""

        def __init__(self, index, others):
            super().__init__()
            self.index, self.count, self.others, self.given = index, 2, others, []

        def gather(self, pairs):
            self.given.append(list(pairs))
            return dict(pairs) | dict(self.others.pop(0) if self.others else [])

    embeddings = {start: embed(ROWS[start : start + 16]) for start in range(0, 60, 16)}
    theirs = [(start, embeddings[start]) for start in (16, 48)]
    first = Half(0, [theirs, [(1, alone[1])]])
    arguments = (ROWS, LABELS, 2, 3, 5, 1)
    assert as_lists(teacher._compute(encoder, *arguments, first, False)) == as_lists(alone)
    assert rows_embedded == [16, 16]
    assert [key for key, _ in first.given[0]] == [0, 32] and [key for key, _ in first.given[1]] == [0, 2]
    second = Half(1, [[(start, embeddings[start]) for start in (0, 32)], [(0, alone[0]), (2, alone[2])]])
    assert as_lists(teacher._compute(encoder, *arguments, second, False)) == as_lists(alone)
    assert [key for key, _ in second.given[1]] == [1]


def test_damaged_cache_is_an_error_that_names_the_file(cache):
    encoder = make_encoder(make_learner())
    build(encoder)
    (path,) = cache.iterdir()
    path.write_text(json.dumps([[1, 2]])[:-3])
    with pytest.raises(UserError, match=path.name):
        build(encoder)


def test_label_without_rows_is_an_error(cache):
    encoder = make_encoder(make_learner())
    with pytest.raises(UserError, match="label 1 has no training rows"):
        build(encoder, labels=[0] * 60)


def test_fingerprints():
    state = {"a": torch.ones(2, 3), "b": torch.zeros(1)}
    assert weights_fingerprint(state) == weights_fingerprint({k: state[k].clone() for k in ("b", "a")})
    changes = [{"a": torch.ones(3, 2)}, {"a": torch.ones(2, 3, dtype=torch.float64)}, {"b": torch.ones(1)}]
    assert len({weights_fingerprint(state | change) for change in [{}, *changes]}) == 4
    assert rows_fingerprint([("a b",)], [0]) != rows_fingerprint([("a", "b")], [0])
    assert rows_fingerprint([("a",)], [0]) != rows_fingerprint([("a",)], [1])
