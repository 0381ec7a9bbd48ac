# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/study_archive.py`: what was measured goes to another machine, weights and texts do not."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ddg_hf.cli import main
from tests.study.conftest import write_config

ROOT = Path(__file__).parents[2]


def archive(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "benchmarks" / "study_archive.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory, model_dir):
    """A finished study with a trained generator."""
    path = tmp_path_factory.mktemp("archive")
    config = write_config(path / "study.yaml", model=model_dir, methods=["zero_shot", "balanced", "ddg"], dpc=[1])
    options = ["--learner_dpc", "1", "--training_seeds", "1"]
    command = ["study", "--config", str(config), *options]
    assert main([*command, "--output_dir", str(path / "run")]) == 0
    return command, path / "run"


def test_a_restored_study_is_done_and_has_the_same_results(study, tmp_path, capsys):
    command, run = study
    assert archive("save", run, tmp_path / "study.tar.gz").returncode == 0
    assert archive("restore", tmp_path / "study.tar.gz", tmp_path / "other").returncode == 0
    assert main([*command, "--output_dir", str(tmp_path / "other")]) == 0
    assert "1 of" in capsys.readouterr().out  # rows are chosen again
    before, after = (json.loads((path / "results.json").read_text()) for path in (run, tmp_path / "other"))
    for results in (before, after):
        for row in results["rows"]:
            row["cost"].pop("generate_seconds"), row["cost"].pop("peak_memory_mb")
    assert after["missing"] == [] and after == before
    rows = [path / "cells" / "sets" / "balanced" / "dpc_1" / "train.parquet" for path in (run, tmp_path / "other")]
    assert pq.read_table(rows[0]).equals(pq.read_table(rows[1]))


def test_an_archive_has_neither_weights_nor_texts(study, tmp_path):
    _, run = study
    assert archive("save", run, tmp_path / "a.tar.gz").returncode == 0
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        names = {Path(name).name for name in tar.getnames()}
        contents = [tar.extractfile(member).read() for member in tar.getmembers()]
    assert not {name for name in names if name.endswith((".safetensors", ".txt", ".html"))}
    assert names & {"predictions.parquet", "measures.json", "results.json"} and "train.parquet" not in names
    texts = pq.read_table(run / "cells" / "sets" / "balanced" / "dpc_1" / "train.parquet")["text"].to_pylist()
    assert texts and not [text for text in texts for content in contents if text.encode() in content]
    assert archive("save", run, tmp_path / "b.tar.gz").returncode == 0
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_mistakes(study, tmp_path):
    _, run = study
    wrong = archive("save", tmp_path, tmp_path / "a.tar.gz")
    assert wrong.returncode == 1 and "not the output directory of a study" in wrong.stderr
    assert archive("save", run, tmp_path / "a.tar.gz").returncode == 0
    assert "not empty" in archive("restore", tmp_path / "a.tar.gz", run).stderr
