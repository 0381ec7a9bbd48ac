# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The command line: commands, and mistakes that end in one line and exit code 2."""

import subprocess
import sys

import pytest

from ddg_hf import cli
from ddg_hf.version import __version__
from tests import tiny_models

TINY = ["--generator_config", "tiny", "--learner", "tiny", "--max_steps", "1"]


@pytest.fixture
def fails(capsys):
    """Runs a command that must fail; returns its one line on standard error."""

    def run(*argv: str) -> str:
        assert cli.main([str(argument) for argument in argv]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        return lines[0]

    return run


@pytest.fixture
def table(tmp_path):
    """A file of labelled texts: 20 of each of two classes."""
    path = tmp_path / "reviews.csv"
    lines = [f"{'good' if i % 2 else 'bad'} film {i},{i % 2}" for i in range(40)]
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


def test_help_and_version(capsys):
    assert cli.main([]) == 0
    listing = capsys.readouterr().out
    assert all(f"  {command} " in listing for command in cli.COMMANDS)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_unknown_command_offers_the_closest(fails):
    assert "Did you mean 'pretrain'?" in fails("pretrian")


def test_unknown_task_offers_the_closest(fails, tmp_path):
    assert "'sst2'" in fails("pretrain", "--task", "sst22", *TINY, "--output_dir", tmp_path / "run")


def test_missing_column_lists_the_available_ones(fails, table, tmp_path):
    line = fails("pretrain", "--dataset", table, "--text_columns", "body", *TINY, "--output_dir", tmp_path / "run")
    assert "'body'" in line and "text, label" in line


def test_label_out_of_range_names_the_range(fails, table, tmp_path):
    with table.open("a") as file:
        file.write("odd one,7\n")
    data = ["--dataset", table, "--text_columns", "text", "--label_names", "bad,good"]
    line = fails("pretrain", *data, *TINY, "--output_dir", tmp_path / "run")
    assert "7" in line and "label" in line


def test_empty_split_is_named(fails, tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("text,label\n")
    line = fails("pretrain", "--dataset", path, "--text_columns", "text", *TINY, "--output_dir", tmp_path / "run")
    assert "train" in line and ("empty" in line or "no rows" in line)


@pytest.mark.parametrize("command", ["generate", "evaluate-learner", "evaluate-icl"])
def test_class_with_fewer_rows_than_dpc(fails, table, tmp_path, command):
    data = ["--dataset", table, "--text_columns", "text", "--dpc", "30", "--output_dir", tmp_path / "run"]
    line = fails(command, *data, *(["--generator", "nowhere"] if command == "generate" else []))
    assert "class '0' has 18 rows" in line.replace(" training rows", " rows") and "30" in line


def test_unknown_yaml_key_offers_the_closest(fails, tmp_path):
    config = tmp_path / "pretrain.yaml"
    config.write_text("task: toy\nlearning_rat: 1e-3\n")
    assert "Did you mean 'learning_rate'?" in fails("pretrain", "--config", config)


@pytest.mark.parametrize("command", ["pretrain", "distill", "generate", "evaluate-learner", "evaluate-icl", "demo"])
def test_finished_run_is_not_overwritten(fails, tmp_path, command):
    (tmp_path / "metadata.json").write_text("{}")
    source = ["--generator", "nowhere"] if command in ("distill", "generate") else []
    source += TINY if command == "pretrain" else []
    data = [] if command == "demo" else ["--task", "toy"]
    assert "--overwrite" in fails(command, *data, *source, "--output_dir", tmp_path)


def test_model_directory_without_tokenizer(fails, tmp_path):
    tiny_models.make_gpt2(64).save_pretrained(tmp_path / "model")
    arguments = ["--task", "toy", "--output_dir", tmp_path / "run"]
    assert "no tokenizer" in fails("pretrain", *arguments, "--generator", tmp_path / "model")
    assert "no tokenizer" in fails("evaluate-icl", *arguments, "--model", tmp_path / "model", "--test_number", "2")


def test_generator_that_was_not_pretrained(fails, tmp_path):
    tiny_models.make_gpt2(64).save_pretrained(tmp_path / "model")
    arguments = ["--task", "toy", "--learner", "tiny", "--output_dir", tmp_path / "run"]
    for command in ("distill", "generate"):
        assert "ddg-hf pretrain" in fails(command, *arguments, "--generator", tmp_path / "model")


def test_missing_arguments_are_named(fails, tmp_path):
    assert "--generator" in fails("pretrain", "--task", "toy", "--learner", "tiny", "--output_dir", tmp_path / "run")
    assert "--generator" in fails("generate", "--task", "toy", "--output_dir", tmp_path / "run")
    assert "--output_dir" in fails("evaluate-learner", "--task", "toy")
    assert "task" in fails("pretrain", *TINY, "--output_dir", tmp_path / "run")


def test_nothing_to_resume_from(fails, tmp_path):
    arguments = ["--task", "toy", *TINY, "--probe_samples", "0", "--output_dir", tmp_path / "run"]
    missing = tmp_path / "run" / "checkpoint-3"
    assert "does not exist" in fails("pretrain", *arguments, "--resume_from_checkpoint", missing)
    missing.mkdir(parents=True)
    assert "no manifest.json" in fails("pretrain", *arguments, "--resume_from_checkpoint", missing)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("printed", ["say('x' * 100)", "table(['x' * 98, 'n'], [['y', '1']])"])
def test_a_reader_that_has_enough_is_no_error(printed):
    program = "from ddg_hf import cli; from ddg_hf.terminal import say, table\n"
    program += f"cli.sys.exit(cli.run(lambda argv: [{printed} for _ in range(10_000)] and 0, []))"
    command = f'"{sys.executable}" -c "{program}"; echo "ended with $?" >&2'
    done = subprocess.run(["sh", "-c", f"({command}) | head -1"], capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 1 and done.stderr == "ended with 141\n"


@pytest.mark.parametrize("option", [["--num_sets", "-1"], ["--num_sets", "0"], ["--dpc", "0"]])
def test_measure_checks_its_numbers(fails, option):
    assert f"{option[0]} must be at least 1" in fails("measure", "--task", "toy", "--distilled", "sets", *option)
