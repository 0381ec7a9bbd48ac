# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Killed at any time, a study goes on and ends with the same results; several processes share one grid."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from ddg_hf.cli import main
from tests.study.test_study import small

METHODS = ["zero_shot", "balanced", "lm_only"]


def command(config, out):
    return [sys.executable, "-m", "ddg_hf.cli", "study", "--config", str(config), "--output_dir", str(out)]


def results_of(out):
    results = json.loads((out / "results.json").read_text())
    for row in results["rows"]:
        row.pop("cost")
    return results


def wait_for(condition, seconds=120):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model_dir):
    path = tmp_path_factory.mktemp("whole")
    assert main(command(small(path, model_dir, methods=METHODS), path / "run")[3:]) == 0
    return path / "run"


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrain", "icl"])
def test_killed_and_started_again_gives_the_same(tmp_path, model_dir, whole, stage):
    out = tmp_path / "run"
    config = small(tmp_path, model_dir, methods=METHODS)
    process = subprocess.Popen(command(config, out), stdout=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: any((out / "logs" / stage).rglob("*.txt")))
    os.kill(process.pid, signal.SIGKILL)  # the study alone: what it has started must end by itself
    process.wait()
    assert main(command(config, out)[3:]) == 0
    assert results_of(out) == results_of(whole)


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
