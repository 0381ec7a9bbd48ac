# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/study_archive.py`: what was measured or generated goes to another machine, weights and data do not."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
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
    assert "\n0 of" in capsys.readouterr().out
    before, after = (json.loads((path / "results.json").read_text()) for path in (run, tmp_path / "other"))
    for results in (before, after):
        for row in results["rows"]:
            row["cost"].pop("generate_seconds"), row["cost"].pop("peak_memory_mb")
    assert after["missing"] == [] and after == before
    rows = [path / "cells" / "sets" / "balanced" / "dpc_1" / "train.parquet" for path in (run, tmp_path / "other")]
    assert pq.read_table(rows[0]).equals(pq.read_table(rows[1]))


def test_an_archive_has_neither_weights_nor_data(study, tmp_path):
    _, run = study
    assert archive("save", run, tmp_path / "a.tar.gz").returncode == 0
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        names = {Path(name).name for name in tar.getnames()}
        texts = [name for name in tar.getnames() if name.endswith("train.parquet")]
        contents = [tar.extractfile(member).read() for member in tar.getmembers()]
        real, generated = (pq.read_table(tar.extractfile(name)).to_pydict() for name in texts)
    assert set(real["text"]) == {None} and None not in real["training_row"]
    assert [text is None for text in generated["text"]] == [row is not None for row in generated["training_row"]]
    assert not {name for name in names if name.endswith((".safetensors", ".txt", ".html"))}
    assert names >= {"predictions.parquet", "measures.json", "results.json", "trainer_state.json"}
    assert texts == [f"cells/sets/{name}/dpc_1/train.parquet" for name in ("balanced", "ddg/seed_0")]
    rows = pq.read_table(run / "cells" / "sets" / "balanced" / "dpc_1" / "train.parquet")["text"].to_pylist()
    assert rows and not [text for text in rows for content in contents if text.encode() in content]
    assert archive("save", run, tmp_path / "b.tar.gz").returncode == 0
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_a_repeated_training_row_is_kept_as_its_number(study, tmp_path):
    _, run = study
    other = tmp_path / "run"
    shutil.copytree(run, other)
    file = other / "cells" / "sets" / "ddg" / "seed_0" / "dpc_1" / "train.parquet"
    table = pq.read_table(file)
    real = pq.read_table(run / "cells" / "sets" / "balanced" / "dpc_1" / "train.parquet")["text"][0].as_py()
    texts = [real, *table["text"].to_pylist()[1:]]
    table = table.set_column(table.column_names.index("text"), table.schema.field("text"), pa.array(texts))
    pq.write_table(table, file)
    assert archive("save", other, tmp_path / "a.tar.gz").returncode == 0
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        kept = pq.read_table(tar.extractfile("cells/sets/ddg/seed_0/dpc_1/train.parquet"))
    assert kept["text"][0].as_py() is None and kept["training_row"][0].as_py() >= 0
    assert kept["text"].to_pylist()[1:] == texts[1:]
    assert archive("restore", tmp_path / "a.tar.gz", tmp_path / "back").returncode == 0
    back = pq.read_table(tmp_path / "back" / file.relative_to(other))
    assert back.equals(table) and back.schema.metadata == table.schema.metadata


def test_mistakes(study, tmp_path):
    _, run = study
    wrong = archive("save", tmp_path, tmp_path / "a.tar.gz")
    assert wrong.returncode == 2 and "not the output directory of a study" in wrong.stderr
    assert archive("save", run, tmp_path / "a.tar.gz").returncode == 0
    assert "not empty" in archive("restore", tmp_path / "a.tar.gz", run).stderr


def test_other_training_rows_are_noticed(study, tmp_path):
    _, run = study
    other = tmp_path / "run"
    shutil.copytree(run, other)
    record = other / "cells" / "icl" / "balanced" / "dpc_1" / "metadata.json"
    content = json.loads(record.read_text(encoding="utf-8"))
    content["data_fingerprint"]["train"] = "0" * 64
    record.write_text(json.dumps(content), encoding="utf-8")
    wrong = archive("save", other, tmp_path / "a.tar.gz")
    assert wrong.returncode == 2 and "were others than those that there are now" in wrong.stderr
    assert not (tmp_path / "a.tar.gz").exists()


def test_nothing_is_left_of_an_archive_whose_data_cannot_be_loaded(study, tmp_path):
    _, run = study
    assert archive("save", run, tmp_path / "a.tar.gz").returncode == 0
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    plan = tmp_path / "unpacked" / "study.json"
    plan.write_text(plan.read_text(encoding="utf-8").replace('"task": "toy"', '"task": "sst2"'), encoding="utf-8")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "unpacked", ".")
    failed = archive("restore", tmp_path / "b.tar.gz", tmp_path / "new", "--data_dir", str(tmp_path))
    assert failed.returncode == 2 and "Traceback" not in failed.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar.gz", "b.tar.gz", "unpacked"}
