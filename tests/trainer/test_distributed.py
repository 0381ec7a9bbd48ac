# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Two processes train what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.trainer.helpers import assert_close

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = [str(ROOT / "tests" / "trainer" / "distributed_run.py")]
LAUNCH = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs" / "cpu_ddp.yaml")]


@pytest.mark.distributed
@pytest.mark.slow
def test_two_processes_equal_one(pretrained, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    for processes, name, launcher in ((1, "one", []), (2, "two", LAUNCH)):
        command = [sys.executable, *launcher, *SCRIPT, pretrained, str(tmp_path / name)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count(f"{processes} processes") == processes
    for stage in ("pretrain", "distill"):
        one, two = tmp_path / "one" / stage, tmp_path / "two" / stage
        assert_close(load_file(two / "model.safetensors"), load_file(one / "model.safetensors"), atol=1e-5)
        histories = [json.loads((d / "trainer_state.json").read_text())["log_history"] for d in (one, two)]
        losses = [[line["loss"] for line in history if "loss" in line] for history in histories]
        assert len(losses[0]) == 3
        assert losses[1] == pytest.approx(losses[0], rel=1e-4, abs=1e-6)
