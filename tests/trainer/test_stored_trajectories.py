# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Stored trajectories are the fresh ones, and belong to their data, learner and settings."""

import json
import logging

import pytest
import torch

from ddg_hf.errors import UserError
from tests.trainer import helpers
from tests.trainer.helpers import assert_equal, logged, make_distillation_trainer, weights

# 6 steps of 4 inner steps: two outer steps.
STORED = {"num_trajectories": 2}


@pytest.fixture
def trained(pretrained, tmp_path):
    def train(name: str = "run", resume: str | None = None, learner=None, **arguments):
        trainer = make_distillation_trainer(pretrained, tmp_path / name, learner, **arguments)
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return train


@pytest.mark.parametrize("parameters", ["head", "all"])
@pytest.mark.parametrize("student", ["ema", "shared"])
def test_as_many_as_outer_steps_equal_a_fresh_run(trained, tmp_path, student, parameters):
    common = {"student": student, "match_parameters": parameters, "teacher_accumulation": 2}
    fresh, stored = trained("fresh", **common), trained("stored", **common, **STORED)
    assert_equal(weights(stored), weights(fresh))
    assert logged(stored) == logged(fresh)
    assert len(list((tmp_path / "stored" / "trajectories").glob("trajectory_*/position_*.safetensors"))) == 8


def test_fewer_are_used_in_turn(pretrained, tmp_path):
    trajectory = make_distillation_trainer(pretrained, tmp_path, **STORED).trajectory
    trajectory.move_to(1, 3)
    first = {k: v.clone() for k, v in trajectory.student.model.state_dict().items()}
    trajectory.move_to(0, 0)
    assert not torch.equal(first["classifier.weight"], trajectory.student.head.weight)
    trajectory.move_to(5, 3)
    assert_equal(trajectory.student.model.state_dict(), first)


def test_another_run_with_another_seed_uses_them(trained, tmp_path, monkeypatch):
    directory = str(tmp_path / "shared")
    trained("first", trajectory_dir=directory, **STORED)
    monkeypatch.setattr("ddg_hf.models.learner.Learner.training_step", None)  # nothing is computed again
    other = trained("second", trajectory_dir=directory, seed=7, **STORED)
    assert other.trajectory.trajectory.seed == 42
    assert logged(other)[0]["loss"] > 0


def test_what_is_missing_is_computed(trained, tmp_path):
    directory = tmp_path / "shared"
    whole = trained("first", trajectory_dir=str(directory), **STORED)
    files = sorted(directory.glob("trajectory_*"))
    before = {path: path.read_bytes() for path in sorted(files[1].iterdir())}
    for path in before:
        path.unlink()
    files[1].rmdir()
    (directory / ".trajectory_00001.killed").mkdir()
    again = trained("second", trajectory_dir=str(directory), **STORED)
    assert logged(again) == logged(whole)
    assert {path: path.read_bytes() for path in before} == before
    assert [path.name for path in directory.glob(".*")] == [".lock"]


def test_resuming_is_the_same_run(trained, tmp_path):
    common = {**STORED, "save_strategy": "steps", "save_steps": 3, "logging_steps": 2}
    straight = trained("run", **common)
    resumed = trained("again", resume=str(tmp_path / "run" / "checkpoint-3"), **common)
    assert_equal(weights(resumed), weights(straight))
    assert logged(resumed) == logged(straight)


def test_evaluation_in_between_changes_nothing(trained):
    plain = trained("a", **STORED)
    evaluated = trained("b", eval_strategy="steps", eval_steps=3, probe_samples=8, **STORED)
    assert_equal(weights(evaluated), weights(plain))


def test_bytes_are_told_and_right(trained, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="ddg_hf"):
        trainer = trained(**STORED)
    told = [record.getMessage() for record in caplog.records if "learner trajectories in" in record.getMessage()]
    assert len(told) == 1 and "GB each" in told[0]
    written = sum(f.stat().st_size for f in (tmp_path / "run" / "trajectories" / "trajectory_00000").iterdir())
    assert trainer.trajectory.bytes_per_trajectory() == pytest.approx(written, rel=0.05)  # less the files' headers


def test_more_than_the_free_disk_is_an_error(trained, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"need 0\.\d+ GB, but only 0\.00 GB are free.*--num_trajectories"):
        trained(**STORED)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"ema_decay": 0.5}, "ema_decay 0.99 there, 0.5 here"), ({"inner_steps": 3}, "inner_steps 4 there, 3 here")],
)
def test_other_settings_are_an_error(trained, tmp_path, change, named):
    directory = str(tmp_path / "shared")
    trained("first", trajectory_dir=directory, **STORED)
    with pytest.raises(UserError, match=named):
        trained("second", trajectory_dir=directory, **STORED, **change)


def test_another_learner_is_an_error(trained, tmp_path):
    directory = str(tmp_path / "shared")
    trained("first", trajectory_dir=directory, **STORED)
    other = helpers.make_learner()
    other.model.bert.pooler.dense.weight.data.mul_(2)
    with pytest.raises(UserError, match="another learner"):
        trained("second", learner=other, trajectory_dir=directory, **STORED)


@pytest.mark.parametrize("change", [{"hidden_dropout_prob": 0.5}, {"initializer_range": 0.5}], ids=str)
def test_learner_with_the_same_weights_but_another_configuration_is_an_error(trained, tmp_path, change):
    directory = str(tmp_path / "shared")
    trained("first", trajectory_dir=directory, **STORED)
    other = helpers.make_learner()
    for name, value in change.items():
        setattr(other.model.config, name, value)
    with pytest.raises(UserError, match="another learner"):
        trained("second", learner=other, trajectory_dir=directory, **STORED)


def test_another_head_of_the_same_learner_is_an_error(trained, tmp_path):
    directory = str(tmp_path / "shared")
    trained("first", trajectory_dir=directory, **STORED)
    other = helpers.make_learner()
    other = type(other)(other.model, other.tokenizer, head=["bert.pooler", "classifier"])
    with pytest.raises(UserError, match="another learner"):
        trained("second", learner=other, trajectory_dir=directory, **STORED)


def test_overwritten_run_computes_its_own(trained):
    trained(**STORED)
    assert trained(seed=7, ema_decay=0.5, **STORED).learner_trajectory.seed == 7


def test_resuming_on_other_trajectories_is_an_error(trained, tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 3}
    trained("run", **STORED, **saving)
    checkpoint = str(tmp_path / "run" / "checkpoint-3")
    trained("other", trajectory_dir=str(tmp_path / "other_seed"), seed=7, **STORED)
    with pytest.raises(UserError, match="seed 42 there, 7 here"):
        trained("again", resume=checkpoint, trajectory_dir=str(tmp_path / "other_seed"), **STORED)
    with pytest.raises(UserError, match="with stored trajectories; pass its --num_trajectories"):
        trained("again", resume=checkpoint)


def test_damaged_files_are_an_error(trained, tmp_path):
    directory = tmp_path / "shared"
    trained("first", trajectory_dir=str(directory), **STORED)
    path = directory / "trajectory_00000" / "position_01.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot read .*position_01"):
        trained("second", trajectory_dir=str(directory), **STORED)
    (directory / "settings.json").write_text(json.dumps({"seed": "none"}))
    with pytest.raises(UserError, match="is damaged"):
        trained("third", trajectory_dir=str(directory), **STORED)
