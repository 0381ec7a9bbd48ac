# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf convert` from the command line."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest

import ddg_hf.formats.convert  # noqa: F401 - now, as a user without rights could perhaps not read it
from ddg_hf import cli

LINE = '{"sentence": "a", "labels": 1}\n'


def test_from_the_command_line(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(LINE)
    assert cli.main(["convert", str(tmp_path / "a.jsonl"), str(tmp_path / "b.parquet"), "--task", "sst2"]) == 0
    said = capsys.readouterr().out
    assert said == f"1 rows in {tmp_path / 'b.parquet'}: sentence, label; labels negative, positive\n"
    assert pq.read_table(tmp_path / "b.parquet").to_pylist() == [{"sentence": "a", "label": 1}]


def test_columns_and_names_are_comma_separated(tmp_path, capsys):
    (tmp_path / "a.tsv").write_text("id\tb\ta\tstars\n1\tx\ty\thigh\n")
    command = ["convert", str(tmp_path / "a.tsv"), str(tmp_path / "a.jsonl"), "--text_columns", "a,b"]
    assert cli.main([*command, "--label_column", "stars", "--label_names", "low, high"]) == 0
    assert (tmp_path / "a.jsonl").read_text() == '{"a":"y","b":"x","label":"high"}\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jsonl"], "the following arguments are required: OUT"),
        (["a.jsonl", "b.parquet", "--tsk", "sst2"], "unknown argument '--tsk'. Did you mean '--task'?"),
        (["nowhere.jsonl", "b.parquet"], "'nowhere.jsonl' does not exist"),
        (["a.jsonl", "b.parquet"], "line 2 of 'a.jsonl' is not JSON"),
        (["a.jsonl", "a.jsonl"], "'a.jsonl' exists; pass --overwrite to replace it"),
        (["~nobody-of-this-name/a.jsonl", "b.parquet"], "'~nobody-of-this-name/a.jsonl' does not exist"),
        (["a.jsonl/b", "b.parquet"], "'a.jsonl/b' does not exist"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(LINE + "{")
    assert cli.main(["convert", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1 and message in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("closed/out.parquet", "Permission denied"),
        ("closed/out", "Permission denied"),
        ("closed/new/out.parquet", "Permission denied"),
        ("out.parquet", "a.jsonl': Permission denied"),
        ("a.jsonl/out.parquet", "a.jsonl': File exists"),
    ],
)
def test_what_cannot_be_read_or_written_is_named_in_one_line(folder_with_rights, capsys, target, message):
    closed, source = folder_with_rights / "closed", folder_with_rights / "a.jsonl"
    closed.mkdir()
    closed.chmod(0o555)
    source.write_text(LINE)
    if target == "out.parquet":
        source.chmod(0o000)
    assert cli.main(["convert", str(source), str(folder_with_rights / target), "--task", "sst2"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and message in said.err
    assert sorted(path.name for path in folder_with_rights.rglob("*")) == ["a.jsonl", "closed"]


def test_a_directory_around_the_source_is_not_replaced(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(LINE)
    command = ["convert", str(tmp_path / "a.jsonl"), str(tmp_path / "set"), "--task", "sst2", "--overwrite"]
    assert cli.main(command) == 0
    (file,) = (tmp_path / "set").glob("*.arrow")
    before = file.read_bytes()
    capsys.readouterr()
    assert cli.main(["convert", str(file), str(tmp_path / "set"), "--overwrite"]) == 2
    assert "holds" in capsys.readouterr().err and file.read_bytes() == before
    # In its own place it may be: nothing is lost.
    assert cli.main(["convert", str(tmp_path / "set"), str(tmp_path / "set"), "--overwrite"]) == 0


def test_help_names_the_formats(capsys):
    with pytest.raises(SystemExit):
        cli.main(["convert", "--help"])
    said = capsys.readouterr().out
    assert all(suffix in said for suffix in (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", "directory"))


# The peak is that of a process of its own (not `ru_maxrss`, which counts what started it), which imports no models.
PROGRAM = """
import sys
from pathlib import Path
from ddg_hf import cli
code = cli.main(["convert", *sys.argv[1:]])
assert not {"torch", "transformers"} & set(sys.modules)
print(next(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM")))
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("target", ["out.parquet", "out.csv"])
def test_memory_does_not_grow_with_the_file(tmp_path, target):
    line = b'{"text": "%s", "label": 1}\n' % (b"words " * 40)

    def peak(megabytes):
        with (tmp_path / "in.jsonl").open("wb") as file:
            for _ in range(megabytes):
                file.write(line * (2**20 // len(line)))
        command = [sys.executable, "-c", PROGRAM, "in.jsonl", target, "--overwrite"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return int(done.stdout.split()[-1]) // 1024

    small, large = peak(100), peak(200)
    assert large < 450 and large < small + 50
