# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Runs go on from whatever a crash leaves, and are the run that was left alone."""

import os
import re
import shutil
from pathlib import Path

import pytest
from safetensors import SafetensorError
from transformers import EarlyStoppingCallback

from ddg_hf.errors import UserError
from ddg_hf.trainer import checkpoints, runs
from ddg_hf.trainer.checkpoints import MANIFEST_FILE, defect, find_checkpoint
from tests.trainer.crashing import BEST, Crash, CrashAt, assert_same_run, crash, make_trainer, run, steps
from tests.trainer.helpers import assert_equal, make_distillation_trainer, weights


@pytest.fixture
def make(pretrained, tmp_path):
    def make_in(stage: str = "pretrain", name: str = "run", **arguments):
        return make_trainer(pretrained, tmp_path / name, stage, **arguments)

    return make_in


# ---- going on ----


@pytest.mark.parametrize(
    ("stage", "arguments"),
    [
        ("pretrain", {"gradient_accumulation_steps": 2, "logging_steps": 1}),
        ("pretrain", {"eval_strategy": "epoch", "logging_strategy": "epoch", "save_steps": 3, "eval_on_start": True}),
        ("pretrain", {"save_strategy": "epoch", "max_steps": 14}),
        ("distill", {"gradient_accumulation_steps": 2}),
        # Evaluation and the best checkpoint, beside which only one more is kept.
        ("distill", BEST | {"save_total_limit": 1}),
    ],
    ids=["accumulation", "epoch ends", "saved by epoch", "distillation", "best"],
)
def test_killed_run_is_the_same_run(make, stage, arguments, tmp_path):
    straight = run(make(stage, "straight", **arguments))
    resume = {"resume_from_checkpoint": "true"}
    # Before the first checkpoint, in between, and after the last one; output_dir does not exist at first.
    for step in (1, 5):
        with pytest.raises(Crash):
            run(make(stage, crash_at=step, **resume, **arguments))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(runs, "_save_final", crash)
        run(make(stage, **resume, **arguments))
    assert_same_run(run(make(stage, **resume, **arguments)), straight)


def test_early_stopping_is_remembered(make):
    """The count of evaluations without improvement, and that it has stopped the run."""
    common = BEST | {"greater_is_better": True, "restore_callback_states_from_checkpoint": True, "max_steps": 12}

    def make_stopping(**arguments):
        trainer = make(**common, **arguments)
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=3))
        return trainer

    straight = run(make_stopping(name="straight"))
    assert straight.state.global_step == 8, "the metric is best at first"
    with pytest.raises(Crash):
        run(make_stopping(crash_at=7))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(runs, "_save_final", crash)
        run(make_stopping(resume_from_checkpoint="true"))
    assert_same_run(run(make_stopping(resume_from_checkpoint="true")), straight)


def test_finished_run_is_left_as_it_is(make, tmp_path, caplog):
    first = run(make())
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    again = run(make(resume_from_checkpoint="true"))
    assert again.result == first.result
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    assert "nothing is left to train" in caplog.text


def test_finished_run_goes_on_for_more_steps(make):
    constant = {"lr_scheduler_type": "constant"}
    straight = run(make(name="straight", max_steps=8, **constant))
    run(make(max_steps=4, **constant))
    more = run(make(max_steps=8, resume_from_checkpoint="true", **constant))
    assert_equal(weights(more), weights(straight))


def test_finished_run_without_checkpoints_is_not_lost(make, tmp_path):
    run(make(save_strategy="no", max_steps=2))
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="no whole checkpoint.*--overwrite"):
        run(make(max_steps=4, resume_from_checkpoint="true"))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert (tmp_path / "run" / "metadata.json").is_file()
    assert run(make(max_steps=4, resume_from_checkpoint="true", overwrite=True)).state.global_step == 4


def test_killed_overwriting_does_not_resume_the_old_run(make, tmp_path, monkeypatch):
    run(make(learning_rate=1e-2))
    straight = run(make(name="straight"))
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(runs, "_remove_run", crash)
        run(make(overwrite=True))
    assert steps(tmp_path / "run") == [6, 8], "of the old run, whole"
    assert_same_run(run(make(resume_from_checkpoint="true")), straight)
    assert not list((tmp_path / "run").glob(".*"))


def test_leftovers_of_killed_runs_are_removed(make, tmp_path):
    leftover = tmp_path / "run" / ".final.abc"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_text("half")
    (tmp_path / "run" / ".metadata.json.abc").write_text("half")
    run(make(max_steps=1, save_strategy="no"))
    assert not list((tmp_path / "run").glob(".*"))


def test_failure_at_the_end_leaves_nothing_half_written(make, tmp_path, monkeypatch):
    trainer = make(max_steps=2)

    def fail(directory, **kwargs):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(
        trainer,
        "save_model",
        lambda d, **kw: fail(d) if ".final." in d else type(trainer).save_model(trainer, d, **kw),
    )
    with pytest.raises(UserError, match="No space left.*checkpoint-2'"):
        run(trainer)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint-2"]


# ---- torn checkpoints ----


def truncate(checkpoint: Path) -> str:
    os.truncate(checkpoint / "model.safetensors", 1000)
    return "model.safetensors has 1000 bytes"


def flip_a_byte(checkpoint: Path) -> str:
    with (checkpoint / "optimizer.pt").open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)[0]
        file.seek(5000)
        file.write(bytes([byte ^ 1]))
    return "optimizer.pt is not what was written"


def remove_the_manifest(checkpoint: Path) -> str:
    (checkpoint / MANIFEST_FILE).unlink()
    return f"it has no {MANIFEST_FILE}"


def remove_a_file(checkpoint: Path) -> str:
    (checkpoint / "rng_state.pth").unlink()
    return "rng_state.pth is missing"


def garble_the_manifest(checkpoint: Path) -> str:
    (checkpoint / MANIFEST_FILE).write_text('{"files": {"model.safetensors": ')
    return "cannot be understood"


TEARS = [truncate, flip_a_byte, remove_the_manifest, remove_a_file, garble_the_manifest]


@pytest.fixture(scope="module")
def saved(pretrained, tmp_path_factory):
    """A killed run of ten steps with checkpoints 4, 6 and 8, and the same run left alone."""
    directory = tmp_path_factory.mktemp("saved")
    common = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 3, "max_steps": 10}
    straight = run(make_distillation_trainer(pretrained, directory / "straight", **common))
    trainer = make_distillation_trainer(pretrained, directory / "run", **common)
    trainer.add_callback(CrashAt(9))
    with pytest.raises(Crash):
        run(trainer)
    return directory / "run", common, straight


@pytest.mark.parametrize("tear", TEARS)
def test_torn_checkpoint_is_skipped(saved, pretrained, tmp_path, caplog, tear):
    whole, common, straight = saved
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    assert find_checkpoint(str(directory), "true") == str(directory / "checkpoint-8")
    reason = tear(directory / "checkpoint-8")
    assert find_checkpoint(str(directory), "true") == str(directory / "checkpoint-6")
    assert f"'{directory / 'checkpoint-8'}' is skipped: " in caplog.text and reason in caplog.text
    with pytest.raises(UserError, match="checkpoint-8' cannot be used: .*" + re.escape(reason)):
        find_checkpoint(str(directory), str(directory / "checkpoint-8"))
    resumed = run(make_distillation_trainer(pretrained, directory, resume_from_checkpoint="true", **common))
    assert_same_run(resumed, straight)
    assert steps(directory) == [6, 8, 10]
    assert not any(defect(path) for _, path in checkpoints.checkpoints_in(directory))


def test_run_starts_anew_if_all_checkpoints_are_torn(saved, pretrained, tmp_path, caplog):
    whole, common, straight = saved
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    for tear, step in zip(TEARS, steps(directory), strict=False):
        tear(directory / f"checkpoint-{step}")
    resumed = run(make_distillation_trainer(pretrained, directory, resume_from_checkpoint="true", **common))
    assert_same_run(resumed, straight)
    assert all(f"checkpoint-{step}' is skipped" in caplog.text for step in (4, 6, 8))
    assert "starts from the beginning" in caplog.text


def test_best_checkpoint_must_be_whole(make, tmp_path):
    common = BEST | {"greater_is_better": True}  # the first one, as the loss falls
    trainer = make(crash_at=5, **common)
    with pytest.raises(Crash):
        run(trainer)
    assert trainer.state.best_model_checkpoint == str(tmp_path / "run" / "checkpoint-2")
    truncate(tmp_path / "run" / "checkpoint-2")
    with pytest.raises(UserError, match="best checkpoint.*checkpoint-2' cannot be used: model.safetensors"):
        run(make(resume_from_checkpoint="true", **common))
