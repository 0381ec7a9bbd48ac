# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a training shows: its steps, its evaluations, and nothing of Trainer's own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import PrinterCallback, ProgressCallback

from ddg_hf.errors import UserError
from ddg_hf.trainer import progress
from ddg_hf.trainer.progress import TrainingProgress, describe
from tests.trainer.helpers import make_distillation_trainer

ROOT = Path(__file__).resolve().parents[2]
STEP = re.compile(r"distill step (\d+)/(\d+) loss (\d\.\d+) cosine (-?\d\.\d{4}) lr 1\.0e-03 (eta|in) \d+ s")


@pytest.fixture
def make(pretrained, tmp_path):
    def make(**arguments):
        defaults = {"disable_tqdm": False, "max_steps": 4, "logging_steps": 2, "probe_samples": 4}
        return make_distillation_trainer(pretrained, tmp_path / "run", **(defaults | arguments))

    return make


def steps_of(text: str) -> list[re.Match]:
    """The lines of steps, all of which must be whole."""
    lines = [line for line in text.splitlines() if line.startswith("distill step")]
    found = [STEP.fullmatch(line) for line in lines]
    assert all(found), lines
    return found


def test_a_plain_line_for_each_logging_step(make, capsys):
    trainer = make()
    trainer.train()
    out, err = capsys.readouterr()
    found, logged = steps_of(err), [line for line in trainer.state.log_history if "loss" in line]
    assert [match.group(1, 2, 5) for match in found] == [("2", "4", "eta"), ("4", "4", "in")]
    assert [match[3] for match in found] == [f"{line['loss']:#.4g}" for line in logged]
    assert [match[4] for match in found] == [f"{line['gradient_cosine']:.4f}" for line in logged]
    assert out == "" and "{" not in err


def test_an_evaluation_is_a_line_of_results(make, capsys):
    metrics = make(eval_strategy="steps", eval_steps=4).evaluate()
    out = capsys.readouterr().out
    assert out.startswith("distill evaluation at step 0: rows outside vocabulary ")
    assert f", nll {metrics['eval_nll']:#.4g}, malformed rate {metrics['eval_malformed_rate']:#.4g}" in out
    assert out.endswith("s)\n") and out.count("\n") == 1


def test_disable_tqdm_leaves_evaluations(make, capsys):
    trainer = make(disable_tqdm=True)
    trainer.train()
    trainer.evaluate()
    out, err = capsys.readouterr()
    assert steps_of(err) == [] and "teacher sets set" not in err
    assert out.startswith("distill evaluation at step 4: ")


def test_a_resumed_run_counts_from_where_it_was(make, monkeypatch, capsys):
    make(max_steps=2, logging_steps=1, save_strategy="steps", save_steps=2).train()
    capsys.readouterr()
    begun, original = [], progress.Progress.__init__

    def remember(self, *args, **kwargs):
        original(self, *args, **kwargs)
        begun.append((self.description, self.done, self.total))

    monkeypatch.setattr(progress.Progress, "__init__", remember)
    make(max_steps=4, logging_steps=1).train(resume_from_checkpoint=True)
    assert [match[1] for match in steps_of(capsys.readouterr().err)] == ["3", "4"]
    assert ("distill", 2, 4) in begun


def test_progress_ends_with_a_training_that_fails(make, monkeypatch, capsys):
    trainer = make()
    closed = []
    monkeypatch.setattr(progress.Progress, "close", lambda self, whole=True: closed.append((self.description, whole)))
    monkeypatch.setattr(trainer, "training_step", lambda *args, **kwargs: trainer.check_finite(float_nan(), "loss"))
    with pytest.raises(UserError, match="not finite"):
        trainer.train()
    assert closed == [("distill", False)]


def float_nan():
    import torch

    return torch.tensor(float("nan"))


def test_only_the_bars_of_trainer_are_replaced(make):
    class Own(ProgressCallback):
        pass

    class Printer(PrinterCallback):
        pass

    for disable_tqdm in (True, False):
        trainer = make(disable_tqdm=disable_tqdm)
        assert [type(one) for one in trainer.callback_handler.callbacks].count(TrainingProgress) == 1
        trainer.add_callback(Own)
        trainer.add_callback(Printer())
        trainer.add_callback(ProgressCallback)
        progress.replace_progress(trainer, "distill")
        kinds = [type(one) for one in trainer.callback_handler.callbacks]
        assert Own in kinds and Printer in kinds
        assert ProgressCallback not in kinds and PrinterCallback not in kinds


def test_other_processes_show_nothing(capsys):
    callback, args = TrainingProgress("distill"), SimpleNamespace()
    for is_main in (False, True):
        state = SimpleNamespace(is_world_process_zero=is_main, max_steps=2, global_step=0)
        callback.on_train_begin(args, state, None)
        state.global_step = 2
        callback.on_step_end(args, state, None)
        callback.on_log(args, state, None, logs={"loss": 0.5})
        callback.on_evaluate(args, state, None, metrics={"eval_nll": 1.0})
        callback.on_train_end(args, state, None)
        assert bool(capsys.readouterr().out) == is_main


def test_metrics_are_described():
    metrics = {"eval_nll": 2.345678, "eval_malformed_rate": 0.0, "eval_sets": 3, "eval_runtime": 75.2, "epoch": 1}
    assert describe(metrics) == "nll 2.346, malformed rate 0.000, sets 3 (in 1 min 15 s)"
    assert describe({"eval_gradient_cosine": float("nan")}) == "gradient cosine nan"


@pytest.mark.distributed
@pytest.mark.slow
def test_two_processes_print_one_result(tmp_path):
    launcher = ["-m", "accelerate.commands.launch", "--config_file", "accelerate_configs/cpu_ddp.yaml"]
    options = ["--task", "toy", "--generator_config", "tiny", "--learner", "tiny", "--max_steps", "2", "--json"]
    options += ["--logging_steps", "1", "--probe_samples", "2", "--save_strategy", "no", "--output_dir", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, "recipes/pretrain.py", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert (result["command"], result["output_dir"], result["last_logged"]["step"]) == ("pretrain", str(tmp_path), 2)
    assert [line.split()[2] for line in done.stderr.splitlines() if line.startswith("pretrain step")] == ["1/2", "2/2"]
