# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Checkpoints are whole or skipped, runs go on from whatever a crash leaves, and nothing is removed too early."""

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
from transformers import EarlyStoppingCallback, TrainerCallback

from ddg_hf.configs import GeneratorArguments
from ddg_hf.errors import UserError
from ddg_hf.models.generator import Generator
from ddg_hf.provenance import check_output_dir
from ddg_hf.trainer import checkpoints, generator_trainer, runs
from ddg_hf.trainer.checkpoints import MANIFEST_FILE, defect, find_checkpoint, rotate_checkpoints, write_manifest
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
from ddg_hf.trainer.runs import run_training
from tests.trainer.helpers import assert_equal, make_distillation_trainer, make_rows, weights

ROOT = Path(__file__).resolve().parents[2]
TIMED = re.compile(r"second|runtime|memory")
BEST = {
    "eval_strategy": "steps",
    "eval_steps": 2,
    "load_best_model_at_end": True,
    "metric_for_best_model": "nll",
    "greater_is_better": False,
}


class Crash(BaseException):
    """Stands in for a kill."""


class CrashAt(TrainerCallback):
    """Ends the process, as it were, when update `step` begins."""

    def __init__(self, step: int):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Crash


@pytest.fixture
def make(pretrained, tmp_path):
    """Makes a trainer of a stage (`pretrain`: six steps an epoch, with dropout) that saves every two steps."""

    def make_trainer(stage: str = "pretrain", name: str = "run", crash_at: int | None = None, **arguments):
        saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 8, "logging_steps": 3}
        arguments = saving | {"probe_samples": 0, "disable_tqdm": True} | arguments
        if stage == "distill":
            trainer = make_distillation_trainer(pretrained, tmp_path / name, **({"inner_steps": 3} | arguments))
        else:
            defaults = {"per_device_train_batch_size": 8, "learning_rate": 1e-3}
            args = GeneratorPretrainingConfig(output_dir=str(tmp_path / name), **(defaults | arguments))
            generator = Generator.load(pretrained, GeneratorArguments())
            for module in generator.model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.1
            rows, labels = make_rows(48, relevant=0.9, seed=2)
            trainer = GeneratorPretrainingTrainer(generator, args, rows, labels, rows[:8], labels[:8])
        if crash_at is not None:
            trainer.add_callback(CrashAt(crash_at))
        return trainer

    return make_trainer


def run(trainer, overwrite: bool = False):
    """What the recipes do."""
    args = trainer.args
    stage = "distill" if hasattr(trainer, "pool") else "pretrain"
    check_output_dir(args.output_dir, args.overwrite, stage, checkpoints.resume_requested(args.resume_from_checkpoint))
    trainer.result = run_training(trainer, stage, [args])
    return trainer


def history(trainer) -> list[dict]:
    """Every line of the log, without times."""
    lines = trainer.state.log_history
    return [{k: v for k, v in line.items() if not TIMED.search(k)} for line in lines]


def assert_same_run(ours, theirs) -> None:
    assert history(ours) == history(theirs)
    assert_equal(weights(ours), weights(theirs))
    untimed = [{k: v for k, v in r.items() if not TIMED.search(k)} for r in (ours.result, theirs.result)]
    assert untimed[0] == untimed[1]
    for name in ("global_step", "epoch", "max_steps", "total_flos", "best_metric", "best_global_step"):
        assert getattr(ours.state, name) == getattr(theirs.state, name), name


def steps(directory: Path) -> list[int]:
    return [step for step, _ in checkpoints.checkpoints_in(directory)]


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
        patch.setattr(runs, "_save_final", _crash)
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
        patch.setattr(runs, "_save_final", _crash)
        run(make_stopping(resume_from_checkpoint="true"))
    assert_same_run(run(make_stopping(resume_from_checkpoint="true")), straight)


def _crash(*args, **kwargs):
    raise Crash


def test_finished_run_is_left_as_it_is(make, tmp_path, caplog):
    first = run(make())
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    again = run(make(resume_from_checkpoint="true"))
    assert again.result == first.result
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    assert "nothing is left to do" in caplog.text


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
        patch.setattr(runs, "_remove_run", _crash)
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
    monkeypatch.setattr(shutil, "rmtree", _crash)
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
        (generator_trainer.Trainer, "_save_optimizer_and_scheduler", torch_full),
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
