# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""An evaluation that is killed, as a whole process, and started again."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import torch

from recipes.evaluate_icl import main
from tests import tiny_models
from tests.conftest import REPOSITORY_ROOT

JOBS = 12


@pytest.mark.slow
def test_killed_run_goes_on_where_it_was(tmp_path, capsys):
    tokenizer = tiny_models.build_tiny_tokenizer(model_max_length=2048)
    tiny_models.make_gpt2(len(tokenizer), n_positions=2048).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    options = ["--task", "toy", "--model", str(tmp_path / "model"), "--test_number", "20", "--dpc", "1"]
    options += ["--num_sets", "3", "--orders", str(JOBS // 3)]
    command = [*options, "--output_dir", str(tmp_path / "killed")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY_ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY_ROOT / "recipes" / "evaluate_icl.py"), *command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        finished = wait_for_jobs(process, tmp_path / "killed" / ".partial")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "results.json").exists()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed" / ".partial").rglob("*.parquet")}
    done = {path: time_ for path, time_ in done.items() if not path.name.startswith(".")}
    assert finished <= len(done) < JOBS

    assert main(command) == 0
    assert f"{len(done)} of {JOBS} jobs are done" in capsys.readouterr().out
    assert main([*options, "--output_dir", str(tmp_path / "whole")]) == 0
    assert table(tmp_path / "killed").equals(table(tmp_path / "whole"))
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    assert not (tmp_path / "killed" / ".partial").exists()


def wait_for_jobs(process, folder, number=2, seconds=120):
    """Waits until some jobs are finished; returns how many."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        finished = [path for path in folder.rglob("*.parquet") if not path.name.startswith(".")]
        if len(finished) >= number:
            return len(finished)
        if process.poll() is not None:
            pytest.fail(f"the evaluation ended by itself: {process.stderr.read().decode()[-2000:]}")
        time.sleep(0.002)
    pytest.fail("no job was finished")


def table(folder):
    return pq.read_table(folder / "predictions.parquet")


def results(folder):
    text = (folder / "results.json").read_text()
    assert '"seconds"' in text
    return json.loads(re.sub(r'"seconds(_per_query)?": [\d.e-]+', '"seconds": 0', text))
