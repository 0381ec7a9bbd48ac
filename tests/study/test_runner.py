# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Killed at any time, a study goes on and ends with the same results; several processes share one grid."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pyarrow.parquet as pq
import pytest

from ddg_hf.cli import main
from tests.study.test_study import small

METHODS = ["zero_shot", "balanced", "lm_only", "ddg", "balanced+likelihood"]
STAGES = ["sets", "pretrain", "distill", "candidates", "measure", "icl", "learner"]
"""Directories of the logs, in the order of the plan."""


def command(config, out):
    return [sys.executable, "-m", "ddg_hf.cli", "study", "--config", str(config), "--output_dir", str(out)]


def results_of(out):
    results = json.loads((out / "results.json").read_text())
    for row in results["rows"]:
        row.pop("cost")
    return results


def wait_for(condition, seconds=600):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model_dir):
    path = tmp_path_factory.mktemp("whole")
    assert main(command(small(path, model_dir, methods=METHODS), path / "run")[3:]) == 0
    return path / "run"


def start(config, out, **more):
    return subprocess.Popen(command(config, out), start_new_session=True, **more)


@pytest.mark.slow
def test_killed_at_every_stage_it_ends_with_the_same(tmp_path, model_dir, whole):
    out, rng, killed = tmp_path / "run", random.Random(0), []
    config = small(tmp_path, model_dir, methods=METHODS)
    for stage in STAGES:
        process = start(config, out, stdout=subprocess.DEVNULL)
        wait_for(lambda stage=stage: any((out / "logs" / stage).rglob("*.txt")))
        time.sleep(rng.uniform(0, 1.5))
        killed += psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)  # the study alone: what it has started must end by itself
        process.wait()
    wait_for(lambda: not any(child.is_running() for child in killed))
    assert killed and main(command(config, out)[3:]) == 0
    assert results_of(out) == results_of(whole)


@pytest.mark.slow
def test_asked_to_end_it_writes_the_results_of_what_is_done(tmp_path, model_dir):
    out = tmp_path / "run"
    process = start(small(tmp_path, model_dir, methods=METHODS), out, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any((out / "logs" / "icl").rglob("*.txt")))
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "Traceback" not in printed
    results = json.loads((out / "results.json").read_text())
    assert "learner/tiny/ddg/seed_0" in results["missing"] and "measure/balanced" not in results["missing"]


@pytest.mark.slow
def test_two_processes_share_the_grid(tmp_path, model_dir, whole):
    out = tmp_path / "run"
    config = small(tmp_path, model_dir, methods=METHODS)
    started = [
        subprocess.Popen(command(config, out), stdout=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], printed
    assert results_of(out) == results_of(whole)
    cells = [cell["name"] for cell in json.loads((out / "study.json").read_text())["cells"]]
    for name in cells:
        log = (out / "logs" / f"{name}.txt").read_text()
        assert log.count("$ ddg-hf") == 1, f"{name} was run twice"


def test_predictions_of_a_study_are_those_of_the_command_alone(tmp_path, model_dir, whole):
    cell = next(c for c in json.loads((whole / "study.json").read_text())["cells"] if c["name"] == "icl/zero_shot")
    argv = cell["command"][: cell["command"].index("--output_dir")]
    assert main([*argv, "--output_dir", str(tmp_path / "alone")]) == 0
    ours = pq.read_table(whole / "cells" / "icl" / "zero_shot" / "predictions.parquet")
    assert pq.read_table(tmp_path / "alone" / "predictions.parquet").equals(ours)
