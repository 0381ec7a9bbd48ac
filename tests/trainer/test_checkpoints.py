# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Checkpoints are whole or skipped, nothing is removed too early, and a full disk is no disaster."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from ddg_hf.errors import UserError
from ddg_hf.trainer import checkpoints, generator_trainer
from ddg_hf.trainer.checkpoints import MANIFEST_FILE, defect, find_checkpoint, rotate_checkpoints, write_manifest
from tests.trainer.crashing import Crash, crash, make_trainer, run, steps

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make(pretrained, tmp_path):
    def make_in(stage: str = "pretrain", name: str = "run", **arguments):
        return make_trainer(pretrained, tmp_path / name, stage, **arguments)

    return make_in


def test_what_to_resume_from(tmp_path, caplog):
    for nothing in (None, False, "false", "no", ""):
        assert find_checkpoint(str(tmp_path), nothing) is None
    assert not caplog.text
    for place in (tmp_path, tmp_path / "absent"):
        assert find_checkpoint(str(place), "true") is None and find_checkpoint(str(place), True) is None
        assert f"'{place}' holds no whole checkpoint: the run starts from the beginning" in caplog.text
    with pytest.raises(UserError, match="does not exist"):
        find_checkpoint(str(tmp_path), str(tmp_path / "checkpoint-9"))


def test_checkpoint_of_the_model_alone_is_no_checkpoint_to_resume_from(make, tmp_path, caplog):
    with pytest.raises(Crash):
        run(make(crash_at=5, save_only_model=True))
    assert defect(tmp_path / "run" / "checkpoint-4", resumable=False) is None
    assert find_checkpoint(str(tmp_path / "run"), "true") is None
    assert "holds the model alone (--save_only_model)" in caplog.text
    run(make(save_only_model=True, resume_from_checkpoint="true"))
    assert steps(tmp_path / "run") == [6, 8]


def test_checkpoint_of_other_processes_is_an_error(make, tmp_path):
    with pytest.raises(Crash):
        run(make(crash_at=3))
    path = tmp_path / "run" / "checkpoint-2" / "accumulators_0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_processes": 2}))
    write_manifest(path.parent)
    with pytest.raises(UserError, match="not written by 1 processes"):
        run(make(resume_from_checkpoint="true"))


# ---- the manifest and what is removed ----


def test_manifest_is_written_last_and_before_older_checkpoints_go(make, tmp_path, monkeypatch):
    seen = []

    def watched(directory: Path) -> None:
        seen.append((sorted(path.name for path in directory.iterdir()), steps(directory.parent)))
        write_manifest(directory)

    monkeypatch.setattr(generator_trainer, "write_manifest", watched)
    run(make("distill", save_total_limit=1, max_steps=6))
    assert [present for _, present in seen] == [[2], [2, 4], [4, 6]]
    last = tmp_path / "run" / "checkpoint-6"
    manifest = json.loads((last / MANIFEST_FILE).read_text())["files"]
    assert seen[-1][0] == sorted(manifest)
    assert {*manifest, MANIFEST_FILE} == {path.name for path in last.iterdir()}
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= set(
        manifest
    )
    assert {"accumulators_0.json", "distillation_state.safetensors", "distillation_state.json"} <= set(manifest)


def test_files_in_subdirectories_count(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "weights").write_bytes(b"1234")
    (tmp_path / "accumulators_0.json").write_text("{}")
    write_manifest(tmp_path)
    assert defect(tmp_path) is None
    (tmp_path / "a" / "b" / "weights").write_bytes(b"1235")
    assert "a/b/weights" in defect(tmp_path)


def make_checkpoints(directory: Path, *all_steps: int, torn: tuple[int, ...] = ()) -> None:
    for age, step in enumerate(all_steps):
        path = directory / f"checkpoint-{step}"
        path.mkdir()
        (path / "accumulators_0.json").write_text("{}")
        if step not in torn:
            write_manifest(path)
        os.utime(path, (10**9 - age, 10**9 - age))  # the times are the wrong way round


@pytest.mark.parametrize(
    ("limit", "current", "best", "torn", "left"),
    [
        (None, 10, None, (), [2, 4, 6, 8, 10]),
        (2, 10, None, (), [8, 10]),
        (1, 10, None, (), [10]),
        (1, 10, 4, (), [4, 10]),
        (2, 10, 4, (), [4, 10]),
        (3, 10, 4, (), [4, 8, 10]),
        (3, 10, None, (8,), [4, 6, 10]),
        # The run went back to 2 and has come to 4 again: never the one just written, and the old ones first.
        (1, 4, None, (), [4]),
        (2, 4, None, (), [2, 4]),
        (3, 4, None, (), [2, 4, 10]),
    ],
)
def test_rotation(tmp_path, limit, current, best, torn, left):
    make_checkpoints(tmp_path, 2, 4, 6, 8, 10, torn=torn)
    best = best and str(tmp_path / f"checkpoint-{best}")
    rotate_checkpoints(tmp_path, limit, tmp_path / f"checkpoint-{current}", best)
    assert steps(tmp_path) == left


def test_interrupted_removal_leaves_no_whole_checkpoint(tmp_path, monkeypatch):
    make_checkpoints(tmp_path, 2)
    monkeypatch.setattr(shutil, "rmtree", crash)
    with pytest.raises(Crash):
        checkpoints.remove_checkpoint(tmp_path / "checkpoint-2")
    assert "no manifest" in defect(tmp_path / "checkpoint-2")


def test_nothing_is_pickled_and_nothing_unpickled(make, tmp_path, monkeypatch):
    with pytest.raises(Crash):
        run(make("distill", crash_at=5))
    load, loaded = torch.load, []

    def watched(file, *args, **kwargs):
        loaded.append((Path(file).name, kwargs.get("weights_only")))
        return load(file, *args, **kwargs)

    monkeypatch.setattr(torch, "load", watched)
    run(make("distill", resume_from_checkpoint="true"))
    assert dict(loaded) == {"optimizer.pt": True, "scheduler.pt": True, "rng_state.pth": True}
    assert not list((tmp_path / "run").rglob("*.bin")) and not list((tmp_path / "run").rglob("*.pkl"))


# ---- disk full ----


def disk_full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def safetensors_full(*args, **kwargs):
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def torch_full(*args, **kwargs):
    raise RuntimeError(
        "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0\nPytorchStreamWriter failed"
    )


@pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [
        (generator_trainer.GeneratorTrainer, "_save", safetensors_full),
        (generator_trainer.PublishingTrainer, "_save_optimizer_and_scheduler", torch_full),
        (generator_trainer, "write_json", disk_full),
        (generator_trainer, "write_manifest", disk_full),
    ],
)
def test_full_disk_while_saving(make, tmp_path, monkeypatch, owner, name, failure):
    with pytest.raises(Crash):
        run(make(crash_at=5))
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"^'.*checkpoint-6' could not") as error:
        patch.setattr(owner, name, failure)
        run(make(resume_from_checkpoint="true"))
    message = str(error.value)
    assert "\n" not in message and f"'{tmp_path / 'run' / 'checkpoint-4'}', the last whole one" in message
    assert "MB are free on the disk" in message
    assert steps(tmp_path / "run") == [2, 4] and defect(tmp_path / "run" / "checkpoint-4") is None
    assert run(make(resume_from_checkpoint="true")).state.global_step == 8


def test_other_errors_keep_their_traceback(make, tmp_path, monkeypatch):
    def bug(*args, **kwargs):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(generator_trainer, "write_manifest", bug)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(make())
    assert steps(tmp_path / "run") == []


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are POSIX")
def test_files_that_cannot_be_written_in_full(pretrained, tmp_path):
    """The real thing: no file may be larger than the limit, which each kind of file meets in turn."""
    command = [sys.executable, str(ROOT / "tests" / "trainer" / "full_disk_run.py"), pretrained, str(tmp_path / "run")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr[-3000:]
    failures = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[[")))
    assert len(failures) >= 5
    for message, whole in failures:
        assert whole == [4] and "checkpoint-6' could not be written (" in message, message
    reasons = {re.search(r"written \((.*?)[;:)]", message)[1] for message, _ in failures}
    assert len(reasons) >= 2, "more than one library fails in its own way"
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "checkpoint-6' could not be written" in errors[0]
    assert "Traceback" not in done.stderr
