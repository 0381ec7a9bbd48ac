# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The sets of an evaluation, from whatever source its arguments name."""

import json
import logging

import numpy as np
import pytest

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import RetrievedDemonstrations, draw_sets, load_distilled, select_sets

SPEC = get_task("sst2")
ROWS = [((f"row {i}",), int(i % 5 == 0)) for i in range(100)]


def counts(members):
    return np.bincount([label for _, label in members.rows], minlength=2).tolist()


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize("kind", ["k_centers", "herding"])
def test_rows_are_embedded_once_for_every_number_per_class(kind):
    calls = []

    def embed(texts):
        calls.append(texts)
        return np.random.default_rng(0).normal(size=(len(texts), 3))

    sets = select_sets(SPEC, ROWS, None, kind, [1, 2, 5], None, seed=0, embed=embed)
    assert calls == [[texts for texts, _ in ROWS]]
    for n, group in sets.items():
        assert group == draw_sets(kind, ROWS, SPEC, n, 5, seed=0, embed=embed)
        assert [counts(members) for members in group] == [[n, n]] * (1 if kind == "herding" else 5)


def test_retrieval_shares_one_index():
    calls = []

    def embed(rows):
        calls.append(len(rows))
        return np.random.default_rng(len(rows)).normal(size=(len(rows), 3))

    sets = select_sets(SPEC, ROWS, None, "topk", [1, 2], None, seed=0, embed=embed)
    assert calls == [100]
    assert {n: [type(members) for members in group] for n, group in sets.items()} == {
        n: [RetrievedDemonstrations] for n in (1, 2)
    }
    assert [len(rows) for rows in sets[2][0].for_queries([("x",), ("y",)])] == [4, 4]
    ((n, (members,)),) = select_sets(SPEC, ROWS, None, "bm25", None, None, seed=0).items()
    assert n == 5 and [len(rows) for rows in members.for_queries([("row 7",)])] == [10]
    assert members.for_queries([("row 7",)])[0][-1] == ROWS[7]


@pytest.mark.parametrize("kind", ["zero_shot", "herding", "bm25", "topk"])
def test_kinds_that_draw_nothing_have_one_set(kind, caplog):
    def embed(rows):
        return np.random.default_rng(0).normal(size=(len(rows), 3))

    for num_sets in (None, 1, 4):
        with caplog.at_level(logging.WARNING):
            sets = select_sets(SPEC, ROWS, None, kind, [2], num_sets, seed=0, embed=embed)
        assert [len(members) for members in sets.values()] == [1]
        assert ("there is one set, not 4" in caplog.text) == (num_sets == 4)


def test_file_of_sets(tmp_path):
    rows = [{"sentence": f"{number} {i}", "label": i % 2, "set": number} for number in range(3) for i in range(4)]
    file = tmp_path / "mine.jsonl"
    write_lines(file, rows)
    sets = select_sets(SPEC, [], str(file), None, None, None, seed=0)
    assert {n: [members.set_id for members in group] for n, group in sets.items()} == {2: [0, 1, 2]}
    sets = select_sets(SPEC, [], str(file), None, [1], 2, seed=0)
    assert {n: [members.rows for members in group] for n, group in sets.items()} == {
        1: [tuple(((f"{number} {i}",), i) for i in range(2)) for number in range(2)]
    }
    with pytest.raises(UserError, match="--num_sets is 4, but dpc_2 has 3 sets"):
        select_sets(SPEC, [], str(file), None, None, 4, seed=0)
    with pytest.raises(UserError, match="class 'negative' has 2 rows in set 0 of .*, but 3 are needed"):
        select_sets(SPEC, [], str(file), None, [3], None, seed=0)


def test_any_existing_file_is_read_as_json_lines(tmp_path):
    file = tmp_path / "demonstrations.txt"
    write_lines(file, [{"sentence": "a", "label": "positive"}, {"sentence": "b", "label": "negative"}])
    assert list(select_sets(SPEC, [], str(file), None, None, None, seed=0)) == [1]
    with pytest.raises(UserError, match="cannot read .*nowhere.jsonl"):
        select_sets(SPEC, [], str(tmp_path / "nowhere.jsonl"), None, None, None, seed=0)


def test_directory_of_sets(tmp_path):
    for n in (1, 2):
        for number in range(2):
            rows = [{"sentence": f"{number} {i}", "labels": i % 2} for i in range(2 * n)]
            write_lines(tmp_path / f"dpc_{n}" / f"dataset_{number}.json", rows)
    sets = select_sets(SPEC, [], str(tmp_path), None, None, None, seed=0)
    assert sets == {n: load_distilled(str(tmp_path), f"dpc_{n}", SPEC) for n in (1, 2)}
    assert [counts(members) for members in sets[2]] == [[2, 2]] * 2
    sets = select_sets(SPEC, [], str(tmp_path), None, [2], 1, seed=0)
    assert {n: [members.set_id for members in group] for n, group in sets.items()} == {2: [0]}


def test_empty_texts_are_counted(tmp_path, caplog):
    file = tmp_path / "mine.jsonl"
    write_lines(
        file, [{"sentence": text, "label": i % 2} for i, text in enumerate(["a", "", " \n", "\u0000", "b", "c"])]
    )
    select_sets(SPEC, [], str(file), None, None, None, seed=0)
    assert f"3 of 6 demonstrations of '{file}' have an empty text." in caplog.text
    caplog.clear()
    select_sets(SPEC, [*ROWS[:20], (("",), 0)], None, "bm25", [2], None, seed=0)
    assert "1 of 21 rows to retrieve from have an empty text." in caplog.text
    caplog.clear()
    select_sets(SPEC, [(("",), i % 2) for i in range(4)], None, "balanced", [1], 2, seed=0)
    assert "4 of 4 'balanced' demonstrations have an empty text." in caplog.text
    caplog.clear()
    select_sets(SPEC, ROWS, None, "balanced", [1], 2, seed=0)
    assert caplog.text == ""
