# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A run that is killed at random moments and started again is, bit for bit, the run that was left alone."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from tests.trainer.helpers import assert_equal

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = [str(ROOT / "tests" / "trainer" / "kill_run.py")]
LAUNCH = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs" / "cpu_ddp.yaml")]
TIMED = re.compile(r"second|runtime|memory")
# More than a whole run takes from `ready` on, less than it takes with the imports.
SECONDS = 6.0
STAGES = ("pretrain", "distill", "stored")


@dataclass
class Run:
    """Processes one after the other in `output`, until one of them comes to its end."""

    pretrained: str
    output: Path
    launcher: list[str] = field(default_factory=list)

    def start(self) -> subprocess.Popen:
        self.output.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, *self.launcher, *SCRIPT, self.pretrained, str(self.output)]
        with open(self.output / "stderr.txt", "ab") as errors:
            return subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )

    def finish(self, process: subprocess.Popen) -> None:
        process.communicate(timeout=600)
        assert process.returncode == 0, (self.output / "stderr.txt").read_text()[-3000:]

    def kill(self, process: subprocess.Popen, phase: str, count: int, delay: float) -> str | None:
        """
        Kills the processes `delay` seconds after they have come to a phase `count` times.

        Returns:
            The phase that was under way, `None` if all was over before.
        """
        lines, workers = [], []
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("ready"):
                workers.append(int(line.split()[1]))
            if sum(seen.split()[0] == phase and "done" not in seen for seen in lines) == count:
                time.sleep(delay)
                break
        for group in {process.pid, *workers}:  # launched workers have sessions of their own
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                pass
        lines += process.stdout.read().split("\n")
        process.stdout.close()
        if process.wait() == 0:
            return None
        assert process.returncode == -signal.SIGKILL, (self.output / "stderr.txt").read_text()[-3000:]
        last = [line for line in lines if line][-1]
        return "between" if last.endswith("done") else last.split()[0]


def moment(rng: random.Random) -> tuple[str, int, float]:
    """A random moment of the whole run, or one within a random phase, the short writing of checkpoints too."""
    if rng.random() < 0.4:
        return "ready", 1, rng.uniform(0, SECONDS)
    phase, longest = rng.choice(
        [("generate", 0.05), ("step", 0.1), ("checkpoint", 0.1), ("checkpoint", 0.1), ("trajectories", 0.2)]
    )
    return phase, 1 if phase == "trajectories" else rng.randint(1, 5), rng.uniform(0, longest)


def results(output: Path) -> dict:
    """What a run leaves: weights, logs without times, and sets."""
    found: dict = {}
    for stage in STAGES:
        history = json.loads((output / stage / "trainer_state.json").read_text())["log_history"]
        found[stage] = [{k: v for k, v in line.items() if not TIMED.search(k)} for line in history]
        found[f"{stage} weights"] = load_file(output / stage / "model.safetensors")
    found["sets"] = [pq.read_table(path).to_pylist() for path in sorted(output.glob("sets/*/*.parquet"))]
    return found


def assert_same(output: Path, expected: dict) -> None:
    ours = results(output)
    for stage in STAGES:
        assert ours[stage] == expected[stage]
        assert len([line for line in ours[stage] if "loss" in line]) >= 4
        assert_equal(ours[f"{stage} weights"], expected[f"{stage} weights"])
        assert not list((output / stage).glob(".*")), "what killed processes left is removed"
    assert ours["sets"] == expected["sets"]


def kill_and_compare(pretrained: str, directory: Path, kills: int, seed: int, launcher: tuple[str, ...] = ()):
    """Kills at least `kills` times, in as many runs as it takes; returns the phases in which it did."""
    rng, phases, outputs = random.Random(seed), [], []
    reference = Run(pretrained, directory / "reference", list(launcher))
    undisturbed = reference.start()
    try:
        while len(phases) < kills:
            run = Run(pretrained, directory / f"killed_{len(outputs)}", list(launcher))
            outputs.append(run.output)
            ended = False
            while not ended and len(phases) < kills:
                phase = run.kill(run.start(), *moment(rng))
                ended = phase is None
                phases += [] if ended else [phase]
            if not ended:
                run.finish(run.start())
        reference.finish(undisturbed)
    finally:
        undisturbed.kill()
    expected = results(reference.output)
    for output in outputs:
        assert_same(output, expected)
    print(f"{len(phases)} kills in {len(outputs)} runs: {phases}")
    return phases


@pytest.mark.slow
def test_three_kills(pretrained, tmp_path):
    kill_and_compare(pretrained, tmp_path, kills=3, seed=0)


@pytest.mark.nightly
def test_many_kills(pretrained, tmp_path):
    phases = kill_and_compare(pretrained, tmp_path, kills=24, seed=1)
    assert {"generate", "step", "checkpoint"} <= set(phases)


@pytest.mark.nightly
@pytest.mark.distributed
def test_two_processes_are_killed(pretrained, tmp_path):
    kill_and_compare(pretrained, tmp_path, kills=4, seed=2, launcher=tuple(LAUNCH))
