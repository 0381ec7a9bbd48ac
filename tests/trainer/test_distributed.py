# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Two processes train what one does; and the comparison notices if they do not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.distributed_run import DISTILLATIONS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = [str(ROOT / "tests" / "trainer" / "distributed_run.py")]
LAUNCH = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs" / "cpu_ddp.yaml")]
STAGES = ["pretrain", *DISTILLATIONS]


def run(pretrained: str, output: Path, processes: int, *options: str) -> Path:
    # A cache of its own: teacher sets that another run has left would not be computed by these processes.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DDG_HF_HOME": str(output / "home")}
    command = [sys.executable, *(LAUNCH if processes > 1 else []), *SCRIPT, pretrained, str(output), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    errors = [line for line in done.stderr.splitlines() if line.startswith("[rank") and "Warning" not in line]
    assert done.returncode == 0, "\n".join(errors[-30:]) or done.stderr[-3000:]
    assert done.stdout.count(f"{processes} processes") == processes
    return output


@pytest.fixture(scope="module")
def one(pretrained, tmp_path_factory):
    return run(pretrained, tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def two(pretrained, tmp_path_factory):
    return run(pretrained, tmp_path_factory.mktemp("two"), 2)


def largest_gradient_difference(ours: Path, theirs: Path) -> float:
    """Largest ||g2 - g1|| / ||g1|| of a step, over all parameters together."""
    a, b = load_file(ours / "gradients.safetensors"), load_file(theirs / "gradients.safetensors")
    assert set(a) == set(b)
    steps = sorted({name.split(".")[0] for name in a})
    assert len(steps) == 3
    differences = []
    for step in steps:
        names = [name for name in a if name.startswith(f"{step}.")]
        difference = torch.cat([(a[n].double() - b[n].double()).flatten() for n in names]).norm()
        norm = torch.cat([b[n].double().flatten() for n in names]).norm()
        assert norm > 0
        differences.append((difference / norm).item())
    return max(differences)


def change_difference(ours: Path, theirs: Path) -> float:
    """||dW2 - dW1|| / ||dW1|| over the whole training."""
    a, b = load_file(ours / "change.safetensors"), load_file(theirs / "change.safetensors")
    difference = torch.cat([(a[n].double() - b[n].double()).flatten() for n in b]).norm()
    return (difference / torch.cat([v.double().flatten() for v in b.values()]).norm()).item()


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_equal_one(one, two, stage):
    gradients = largest_gradient_difference(two / stage, one / stage)
    change = change_difference(two / stage, one / stage)
    print(f"{stage}: gradients {gradients:.1e}, change {change:.1e}")
    assert gradients <= 1e-5
    assert change <= 1e-3
    histories = [json.loads((d / stage / "trainer_state.json").read_text())["log_history"] for d in (one, two)]
    losses = [[line["loss"] for line in history if "loss" in line] for history in histories]
    assert len(losses[0]) == 3
    assert losses[1] == pytest.approx(losses[0], rel=1e-4, abs=1e-6)


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize(("how", "stages"), [("permute", list(DISTILLATIONS)), ("drop", STAGES)])
def test_a_process_that_does_the_wrong_thing_is_noticed(pretrained, one, tmp_path, how, stages):
    wrong = run(pretrained, tmp_path, 2, how)
    for stage in stages:
        assert largest_gradient_difference(wrong / stage, one / stage) > 1e-3, stage
        assert change_difference(wrong / stage, one / stage) > 1e-2, stage
