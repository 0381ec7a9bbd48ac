# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf export`: what it writes where, and mistakes that end in one line."""

import csv
import dataclasses
import io
import json

import pyarrow.parquet as pq
import pytest
import yaml

from ddg_hf import cli
from ddg_hf.data.tasks import TASKS
from ddg_hf.evaluation.demonstrations import load_distilled
from ddg_hf.evaluation.icl.config import ICLEvaluationArguments
from ddg_hf.evaluation.icl.prompts import PromptTemplate
from ddg_hf.evaluation.icl_jobs import make_jobs
from ddg_hf.formats.distilled import write_distilled
from ddg_hf.generation import DistilledRow
from recipes.export import DIRECTORIES, FORMATS

TOY = TASKS["toy"]
# What formats with a test for each query need here.
QUERIES = dict.fromkeys(("lm-eval", "promptfoo"), ("--test_number", 6))
OWN = dataclasses.replace(TOY, name="tickets", text_columns=("subject", "body"), field_names=("S", "B"))


def write_sets(folder, spec, sizes=(2,), numbers=(0, 1)) -> str:
    """Distilled sets of a task with numbered texts."""

    def rows(n: int) -> list[DistilledRow]:
        labels = range(spec.num_labels)
        columns = spec.text_columns
        return [
            DistilledRow(tuple(f"{column} {s} {y} {i} {{x}}" for column in columns), y, s, 1.0)
            for s in numbers
            for y in labels
            for i in range(n)
        ]

    folder.mkdir()
    metadata = {"stage": "generate", "task": spec.name, "arguments": {}, "ddg_hf_version": "0", "sampling": {}}
    write_distilled(folder, {n: rows(n) for n in sizes}, spec, metadata)
    return str(folder)


@pytest.fixture
def sets(tmp_path) -> str:
    return write_sets(tmp_path / "sets", TOY)


@pytest.fixture
def export(capsys):
    """Runs the command, which must succeed; returns what it prints on standard output."""

    def run(*argv) -> str:
        assert cli.main(["export", *map(str, argv)]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def fails(capsys):
    """Runs the command, which must fail; returns its one line on standard error."""

    def run(*argv) -> str:
        assert cli.main(["export", *map(str, argv)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
        return line

    return run


def files_of(folder) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def prompt_of_evaluation(sets: str, number: int, **arguments) -> str:
    """What `evaluate-icl` shows, by the functions that it uses."""
    members = [member for member in load_distilled(sets, "dpc_2", TOY) if member.set_id == number]
    jobs = make_jobs(ICLEvaluationArguments(distilled=sets, **arguments), {2: members}, TOY.num_labels, [], seed=42)
    return PromptTemplate.from_task(TOY).prefix(jobs[0].demonstrations)


@pytest.mark.parametrize("number", [0, 1])
def test_prompt_is_that_of_the_evaluation(sets, export, number):
    assert export(sets, "--format", "prompt", "--set", number) == prompt_of_evaluation(sets, number)
    shown = export(sets, "--format", "prompt", "--set", number, "--rounds", 1, "--order", "sorted")
    assert shown == prompt_of_evaluation(sets, number, rounds=1, order_by="sorted")
    assert export(sets, "--format", "prompt", "--set", number, "--seed", 7) != prompt_of_evaluation(sets, number)


def test_file_has_the_prompt_byte_for_byte(sets, export, tmp_path, capsys):
    assert export(sets, "--format", "prompt", "--output", tmp_path / "new" / "prompt.txt") == ""
    assert (tmp_path / "new" / "prompt.txt").read_bytes() == prompt_of_evaluation(sets, 0).encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["prompt.txt"]


def test_the_set_that_is_taken_is_named(sets, capsys):
    assert cli.main(["export", sets, "--format", "prompt"]) == 0
    assert "2 sets; exported: set 0" in capsys.readouterr().err
    assert cli.main(["export", sets, "--format", "prompt", "--set", "0"]) == 0
    assert "2 sets" not in capsys.readouterr().err


def test_formats_with_all_sets(sets, export):
    lines = export(sets, "--format", "openai-jsonl").splitlines()
    assert len(lines) == 2 and len(export(sets, "--format", "openai-jsonl", "--set", 1).splitlines()) == 1
    assert json.loads(lines[0])["messages"][0] == {"role": "system", "content": TOY.instruction}
    table = list(csv.DictReader(io.StringIO(export(sets, "--format", "csv"))))
    assert [row["set"] for row in table] == ["0"] * 12 + ["1"] * 12
    assert len(list(csv.DictReader(io.StringIO(export(sets, "--format", "csv", "--set", 1))))) == 12
    assert len(list(csv.DictReader(io.StringIO(export(sets, "--format", "setfit"))))) == 12


def test_lm_eval_task_with_local_queries(sets, export, tmp_path):
    export(sets, "--format", "lm-eval", "--output", tmp_path / "tasks", "--test_number", 12, "--set", 1)
    task = yaml.safe_load((tmp_path / "tasks" / "toy_dpc_2_set1.yaml").read_text())
    queries = pq.read_table(task["dataset_kwargs"]["data_files"]["test"])
    assert sorted(queries.column("label").to_pylist()) == [i // 2 for i in range(12)]
    assert queries.column_names == ["text", "label"]
    record = json.loads((tmp_path / "tasks" / "metadata.json").read_text())
    assert (record["stage"], record["task"], record["config"], record["set"]) == ("export", "toy", "dpc_2", 1)


def test_lm_eval_task_with_queries_of_the_hub(export, tmp_path):
    sets = write_sets(tmp_path / "sets", TASKS["sst2"])
    export(sets, "--format", "lm-eval", "--output", tmp_path / "tasks")
    assert sorted(path.name for path in (tmp_path / "tasks").iterdir()) == ["metadata.json", "sst2_dpc_2_set0.yaml"]
    task = yaml.safe_load((tmp_path / "tasks" / "sst2_dpc_2_set0.yaml").read_text())
    assert task["dataset_path"] == "stanfordnlp/sst2" and task["test_split"] == "validation"


def test_queries_of_a_registered_task_in_a_directory(export, tmp_path, shared_data):
    sets = write_sets(tmp_path / "sets", TASKS["sst2"])
    arguments = ("--data_dir", shared_data, "--test_number", 6, "--split", "test")
    config = yaml.safe_load(export(sets, "--format", "promptfoo", *arguments))
    answers = [test["assert"][0]["value"] for test in config["tests"]]
    assert sorted(answers) == ["negative"] * 3 + ["positive"] * 3


def test_queries_of_ones_own(export, fails, tmp_path):
    sets = write_sets(tmp_path / "sets", OWN)
    assert "--dataset" in fails(sets, "--format", "promptfoo")
    names = OWN.label_names
    lines = [f"title {i},text {i},{names[i % 6]}" for i in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["head,body,queue", *lines]))
    columns = ("--text_columns", "head,body", "--label_column", "queue")
    arguments = ("--dataset", tmp_path / "rows.csv", *columns, "--test_number", 6)
    config = yaml.safe_load(export(sets, "--format", "promptfoo", *arguments))
    assert sorted(test["assert"][0]["value"] for test in config["tests"]) == sorted(names)
    assert all(test["vars"]["subject"].startswith("title ") for test in config["tests"])
    assert "must name 2 columns" in fails(sets, "--format", "promptfoo", *arguments[:2], "--text_columns", "head")


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_is_overwritten_unasked(sets, export, fails, tmp_path, kind):
    name = {"dspy": "out.json", "promptfoo": "out.yaml"}.get(kind, "out")
    arguments = (sets, "--format", kind, "--output", tmp_path / name, *QUERIES.get(kind, ()))
    export(*arguments, "--set", 1)
    before = files_of(tmp_path)
    assert "--overwrite" in fails(*arguments)
    assert files_of(tmp_path) == before
    export(*arguments, "--overwrite")
    after = files_of(tmp_path)
    assert len(after) == len(before)  # what was there is replaced as a whole
    assert after != before


@pytest.mark.parametrize("kind", DIRECTORIES)
def test_a_directory_of_other_files_is_left_alone(sets, fails, tmp_path, kind):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    assert "mine" in fails(sets, "--format", kind, "--output", tmp_path / "mine", "--overwrite")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("stage", ["generate", "convert", None])
@pytest.mark.parametrize("kind", DIRECTORIES)
def test_a_directory_of_another_stage_is_left_alone(sets, fails, tmp_path, kind, stage):
    other = tmp_path / "other"
    other.mkdir()
    (other / "metadata.json").write_text(json.dumps({"stage": stage} if stage else {}))
    before = files_of(tmp_path)
    assert str(other) in fails(sets, "--format", kind, "--output", other, "--overwrite", *QUERIES.get(kind, ()))
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("kind", DIRECTORIES)
@pytest.mark.parametrize("place", [".", "..", "dpc_2", "new", "new/deep", "../link", "../link/new"])
def test_the_sets_are_never_replaced_by_a_directory(sets, fails, tmp_path, kind, place):
    (tmp_path / "link").symlink_to(sets)
    before = files_of(tmp_path)
    output = f"{sets}/{place}"
    assert "the directory of the sets" in fails(sets, "--format", kind, "--output", output, "--overwrite")
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(
    "place", ["README.md", "metadata.json", "dpc_2/train.parquet", "new.txt", "../link/README.md"]
)
def test_the_sets_are_never_replaced_by_a_file(sets, fails, tmp_path, monkeypatch, place):
    (tmp_path / "link").symlink_to(sets)
    (tmp_path / "file").symlink_to(f"{sets}/README.md")
    before = files_of(tmp_path)
    monkeypatch.chdir(sets)
    for output in (place, f"{sets}/{place}", tmp_path / "file"):
        assert "the directory of the sets" in fails(".", "--format", "prompt", "--output", output, "--overwrite")
    assert files_of(tmp_path) == before


def test_home_is_expanded_before_anything_is_checked(sets, export, fails, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "the directory of the sets" in fails("~/sets", "--format", "prompt", "--output", "~/sets/x.txt")
    export("~/sets", "--format", "langchain", "--output", "~/few_shot")
    assert (tmp_path / "few_shot" / "prompt.json").is_file()
    assert "'~nobody-of-this-name' is no directory" in fails("~nobody-of-this-name", "--format", "prompt")


def test_mistakes(sets, fails, tmp_path):
    assert "invalid choice" in fails(sets, "--format", "yaml")
    assert "--output" in fails(sets, "--format", "lm-eval")
    assert "rounds" in fails(sets, "--format", "prompt", "--rounds", 0)
    assert "pass --rounds 2" in fails(sets, "--format", "prompt", "--rounds", 3)
    assert "no set 9" in fails(sets, "--format", "prompt", "--set", 9)
    assert "no 'dpc_9'; it has dpc_2" in fails(sets, "--format", "prompt", "--config", "dpc_9")
    assert "leave out --order" in fails(sets, "--format", "csv", "--order", "sorted")
    assert "leave out --split" in fails(sets, "--format", "prompt", "--split", "test")
    assert "leave out --label_column" in fails(sets, "--format", "promptfoo", "--label_column", "y")
    assert "*.json" in fails(sets, "--format", "dspy", "--output", tmp_path / "program.txt")
    assert "is a directory" in fails(sets, "--format", "prompt", "--output", tmp_path)
    assert "Did you mean 'validation'?" in fails(sets, "--format", "promptfoo", "--split", "validaton")
    assert "no directory" in fails(tmp_path / "nowhere", "--format", "prompt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sets"]


@pytest.mark.parametrize("kind", ["prompt", "langchain"])
def test_outputs_that_cannot_be_written(fails, folder_with_rights, kind):
    sets = write_sets(folder_with_rights / "sets", TOY)
    (folder_with_rights / "file").write_text("x")
    (folder_with_rights / "closed").mkdir(mode=0o555)
    before = files_of(folder_with_rights)
    assert "Permission denied" in fails(sets, "--format", kind, "--output", folder_with_rights / "closed" / "out")
    assert "file" in fails(sets, "--format", kind, "--output", folder_with_rights / "file" / "out")
    assert files_of(folder_with_rights) == before


def test_several_configurations(fails, export, tmp_path):
    sets = write_sets(tmp_path / "sets", TOY, sizes=(1, 2))
    assert "dpc_1, dpc_2; choose one with --config" in fails(sets, "--format", "prompt")
    assert export(sets, "--format", "prompt", "--config", "dpc_2") == prompt_of_evaluation(sets, 0)
