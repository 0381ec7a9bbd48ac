# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Values that may be anything, and texts without paths and secrets."""

import pytest

from ddg_hf.report.values import Estimate, estimate, number, shown_command, slug, without_paths


@pytest.mark.parametrize("value", [None, True, "1", float("nan"), float("inf"), [], {}])
def test_no_numbers(value):
    assert number(value) is None and estimate(value) is None


def test_estimates():
    assert estimate({"mean": 0.5, "low": 0.4, "high": 0.6}) == Estimate(0.5, 0.4, 0.6)
    assert estimate({"mean": 0.5, "low": None, "high": 0.6}) == Estimate(0.5)
    assert estimate({"mean": None}) is None and estimate(0.25) == Estimate(0.25)
    assert Estimate(0.1, -0.2, 0.3).negated() == Estimate(-0.1, -0.3, 0.2)


def test_commands_have_neither_paths_nor_secrets():
    command = "evaluate-icl --task sst2 --model /a/b/lm-small --data_dir=/a/data --api_key sk-abcdefgh --x /y/z/f.bin"
    shown = shown_command(command.split())
    assert shown == (
        "evaluate-icl --task sst2 --model lm-small --data_dir=data --api_key <redacted> --x f.bin".split()
    )


def test_relative_paths_and_hub_ids_stay():
    words = ["generate", "--generator", "runs/sst2/distill", "--model", "Qwen/Qwen2.5-0.5B", "--dpc", "5", "10"]
    assert shown_command(words) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot read '/home/me/data/x.parquet': no", "cannot read 'x.parquet': no"),
        ("C:\\Users\\me\\run failed", "run failed"),
        ("and/or 1/2/3 https://example.org/a/b", "and/or 1/2/3 https://example.org/a/b"),
        ("hf_abcdefghijk", "<redacted>"),
        ("cannot read file:///home/me/x.csv", "cannot read x.csv"),
        ("no such file:file://localhost/home/me/data/x.csv", "no such file:x.csv"),
        ("file:/home/me/x.csv file:///C:/Users/me/x.csv", "x.csv x.csv"),
        ("a file: and/or a profile:/x/y", "a file: and/or a profile:/x/y"),
    ],
)
def test_texts_without_paths(text, expected):
    assert without_paths(text) == expected


def test_urls_of_files_below_the_home_directory_are_paths_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert without_paths("cannot read 'file:///home/me/data/x.csv'") == "cannot read 'x.csv'"


def test_slugs_fit_files():
    assert slug("Accuracy", "../a b", "ä<x>") == "accuracy-a-b-x"
    assert slug("…") == "x"
