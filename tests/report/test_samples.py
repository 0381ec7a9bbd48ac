# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Samples with their nearest training row, whatever the data; and what the checks found."""

import pytest

from ddg_hf.errors import UserError
from ddg_hf.report import nearest, samples
from ddg_hf.report.collect import collect
from ddg_hf.report.nearest import nearest_rows
from ddg_hf.report.real_rows import TrainingRows
from ddg_hf.report.samples import checks_table, leak_table, not_checked, samples_of, shares
from tests.report import builders

REAL = ["The weather was mild in the mountains.", "A gripping story, told with wit!", "Nothing works in this kitchen."]


def test_the_nearest_row():
    found = nearest_rows(["a gripping story told with wit", "kitchens where nothing works", "zzzz"], REAL)
    assert [one.real_row for one in found] == [1, 2, -1]
    assert found[0].similarity > 0.8 > found[1].similarity > 0.3 and found[2].similarity == 0


def test_a_copy_has_similarity_one_and_the_first_of_equal_rows_counts(monkeypatch):
    rows = [REAL[0], REAL[1], REAL[1], REAL[2]] * 3
    whole = nearest_rows([REAL[1], REAL[2], REAL[1]], rows)
    assert [one.real_row for one in whole] == [1, 3, 1]
    assert [one.similarity for one in whole] == pytest.approx([1.0] * 3)
    monkeypatch.setattr(nearest, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(nearest, "_QUERIES_AT_ONCE", 1)
    assert [one.real_row for one in nearest_rows([REAL[1], REAL[2], REAL[1]], rows)] == [1, 3, 1]


def test_nothing_to_compare():
    assert nearest_rows([], REAL) == []
    assert [one.real_row for one in nearest_rows(["a text", ""], [])] == [-1, -1]
    assert nearest_rows([""], REAL)[0].real_row == -1


def test_rows_of_the_training_file(tmp_path):
    builders.sets(tmp_path / "sets", [("a gripping story told with wit", 1, 0), ("so dull", 0, 0)], dpc=1)
    train = tmp_path / "train.csv"
    train.write_text("text\n" + "\n".join(f'"{row}"' for row in REAL) + "\n", encoding="utf-8")
    found = samples_of(collect(tmp_path / "sets"), TrainingRows(train=str(train)))
    assert found.notes == [] and found.total == 2 and found.expected is None
    first, second = sorted(found.rows, key=lambda row: -row["similarity"])
    assert (first["text"], first["nearest"]) == ("a gripping story told with wit", REAL[1])
    assert (first["label"], first["set"], first["dpc"], first["loss"]) == ("positive", 0, 1, 1.25)


def test_recorded_training_rows_that_cannot_be_loaded_are_said(tmp_path, capsys):
    for name in ("one", "two"):
        builders.sets(tmp_path / name, builders.texts(4))
        nowhere = {"task": "sst2", "data_dir": str(tmp_path / "nowhere")}
        builders.record(tmp_path / name, "generate", arguments=nowhere)
    found = samples_of(collect(tmp_path), TrainingRows())
    assert len(found.rows) == 8 and found.compared == []
    (note,) = found.notes
    assert "--data_dir" in note and "--train" in note and str(tmp_path) not in note
    assert capsys.readouterr().err == f"warning: {note}\n"


@pytest.mark.parametrize(
    "given", [{"train": "/nowhere.csv"}, {"data_dir": "/nowhere"}, {"task": "qqp"}, {"task": "qqp", "data_dir": "/x"}]
)
def test_training_rows_that_the_user_names_must_be_there(tmp_path, given):
    builders.sets(tmp_path / "sets", builders.texts(4))
    builders.record(tmp_path / "sets", "generate", arguments={"task": "sst2"})
    with pytest.raises(UserError, match="^" + ", ".join(f"--{name}" for name in given) + ": .*'sets'"):
        samples_of(collect(tmp_path / "sets"), TrainingRows(**given))


def test_the_recorded_task_is_loaded_and_other_data_is_said(tmp_path):
    builders.sets(tmp_path / "sets", builders.texts(4))  # its record names the embedded task
    found = samples_of(collect(tmp_path / "sets"), TrainingRows())
    assert len(found.compared) == 4 and found.notes == [] and 0 <= found.expected < 1
    builders.record(tmp_path / "sets", "generate", data_fingerprint={"train": "0" * 64})
    assert "not the very training rows" in samples_of(collect(tmp_path / "sets"), TrainingRows()).notes[0]


def test_many_rows_are_cut_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MOST_ROWS", 20)
    builders.sets(tmp_path / "sets", builders.texts(60))
    found = samples_of(collect(tmp_path / "sets"), TrainingRows())
    assert len(found.rows) == 20 and {row["set"] for row in found.rows} == {0}
    assert "20 of 60 rows" in found.notes[0]


def test_rows_that_fit_are_not_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MOST_ROWS", 64)
    for name, number in (("large", 60), ("small", 4)):
        builders.sets(tmp_path / name, builders.texts(number), check=False)
    assert len(samples_of(collect(tmp_path), TrainingRows()).rows) == 64


@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [
        ([60, 4], 64, [60, 4]),
        ([60, 4], 40, [36, 4]),
        ([50, 4, 30], 40, [18, 4, 18]),
        ([10, 10], 5, [2, 3]),
        ([], 5, []),
    ],
)
def test_what_a_small_directory_does_not_need_the_others_have(counts, most, expected):
    assert shares(counts, most) == expected


def test_rows_are_cut_between_sets(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MOST_ROWS", 54)
    builders.sets(tmp_path / "sets", builders.texts(60), check=False)
    found = samples_of(collect(tmp_path / "sets"), TrainingRows())
    assert [row["set"] for row in found.rows].count(1) == 20 and len(found.rows) == 40


def test_rows_that_a_study_chooses_from_are_no_samples(tmp_path):
    plan = builders.study_plan()
    names = ("sets/ddg/seed_0", "candidates/ddg/seed_0")
    cell = {"command": ["generate"], "method": "ddg", "seed": 0, "state": "done"}
    plan["cells"] = [{"name": name, **cell} for name in names]
    builders.write_json(tmp_path / "study.json", plan)
    for i, name in enumerate(names):
        builders.sets(tmp_path / "cells" / name, builders.texts(4 + i), check=False)
    contents = collect(tmp_path)
    found = samples_of(contents, TrainingRows())
    assert found.total == 4 and {row["method"] for row in found.rows} == {"DDG"}
    assert [run.name for run in not_checked(contents)] == ["sets/ddg/seed_0"]


def test_sets_of_training_rows_are_no_samples(tmp_path):
    path = builders.sets(tmp_path / "sets", builders.texts(4), check=False)
    builders.record(path, "select")
    assert samples_of(collect(path), TrainingRows()).rows == []


def test_checks(tmp_path):
    rows = [("A fine film, all in all, I must say!", 1, 0), ("so very dull indeed", 0, 0)]
    contents = collect(builders.sets(tmp_path / "sets", rows, dpc=1))
    table = checks_table(contents)
    assert [column.heading for column in table.columns] == ["Check", "DDG, DPC 1", "Looks for"]
    cells = {row[0]: row[1] for row in table.rows}
    assert cells["Copies"] == "warn: 1 of 2 rows"
    assert cells["Empty"] == "ok" and cells["Label consistency"] == "not run"
    (leak,) = leak_table(contents).rows
    assert leak[1:5] == ["dpc_1, set 0, row 0", "positive", "copy", "train 0"]


def test_checks_of_many_sets_have_a_row_each(tmp_path):
    for i in range(7):
        builders.sets(tmp_path / f"sets_{i}", builders.texts(4, seed=i), dpc=1)
    table = checks_table(collect(tmp_path))
    assert [row[0] for row in table.rows] == [f"DDG (sets_{i})" for i in range(7)]
    assert [column.name for column in table.columns][:3] == ["sets", "dpc", "copies"]
