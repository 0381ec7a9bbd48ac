# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is kept of a run that was stopped: exactly what was saved, and only for the same evaluation."""

import dataclasses

import numpy as np
import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.partial_runs import PartialRuns, fingerprint, version_of
from tests.evaluation.predictions import generated, make_prediction, scored


def same(a, b):
    for field in dataclasses.fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right, strict=True)
        else:
            assert left == right, field.name


@pytest.mark.parametrize("prediction", [scored(0), generated(1), make_prediction([0, 1, 1])])
def test_what_is_loaded_is_what_was_saved(prediction, tmp_path):
    partial = PartialRuns(tmp_path, fingerprint("a"))
    assert partial.load("job") is None and not partial.has("job")
    partial.save("job", prediction)
    assert partial.has("job")
    same(partial.load("job"), prediction)
    assert [path.name for path in partial.directory.iterdir()] == ["job.parquet"]


def test_another_evaluation_does_not_find_it(tmp_path):
    first, second = (PartialRuns(tmp_path, fingerprint(content)) for content in ({"seed": 1}, {"seed": 2}))
    first.save("job", scored(0))
    assert second.load("job") is None
    second.save("job", scored(1))
    first.remove_others()
    assert first.has("job") and not second.has("job")
    first.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_job_with_failures_is_not_finished(tmp_path):
    partial = PartialRuns(tmp_path, fingerprint("a"))
    partial.save("failed", make_prediction([0, -1], failed_Q=np.array([False, True])))
    partial.save("said so", make_prediction([0, 1], failures=("query 7: no answer",)))
    assert not partial.has("failed") and not partial.has("said so")


def test_damaged_file(tmp_path):
    partial = PartialRuns(tmp_path, fingerprint("a"))
    partial.save("job", scored(0))
    path = partial.directory / "job.parquet"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="job.parquet' is damaged; delete it"):
        partial.load("job")


def test_fingerprint():
    assert fingerprint({"a": 1, "b": [("x", 2)]}) == fingerprint({"b": [["x", 2]], "a": 1})
    assert fingerprint({"text": "lone \ud800 surrogate"}) != fingerprint({"text": "lone \ud801 surrogate"})


def test_version_of_a_directory(tmp_path):
    (tmp_path / "weights").write_text("a")
    before = version_of(str(tmp_path))
    (tmp_path / "weights").write_text("ab")
    assert version_of(str(tmp_path)) != before


def test_version_of_a_model_on_the_hub(tmp_path, monkeypatch):
    """In the layout of the Hub's cache: a branch that moves on is another model."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert version_of("somebody/model") is None
    home = tmp_path / "models--somebody--model"
    for commit in ("a" * 40, "b" * 40):
        (home / "snapshots" / commit).mkdir(parents=True)
        (home / "snapshots" / commit / "config.json").write_text("{}")
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / "main").write_text(commit)
        assert version_of("somebody/model") == commit
    assert version_of("somebody/model", "a" * 40) == "a" * 40
