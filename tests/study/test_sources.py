# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Sets that were made elsewhere, as a study finds them."""

import json

import pytest

from ddg_hf.cli import main
from ddg_hf.errors import UserError
from ddg_hf.study.sources import content_fingerprint, given_sets


def test_sets_of_this_package(tmp_path):
    argv = ["select", "--task", "toy", "--demonstrations", "balanced", "--dpc", "1", "2", "--num_sets", "3"]
    for name in ("a", "b"):
        assert main([*argv, "--output_dir", str(tmp_path / name)]) == 0
    assert main([*argv, "--seed", "7", "--output_dir", str(tmp_path / "c")]) == 0
    found = {name: given_sets(str(tmp_path / name)) for name in "abc"}
    assert found["a"].counts == {1: 3, 2: 3}
    assert found["a"] == found["b"] and found["a"].fingerprint != found["c"].fingerprint


def test_sets_in_the_format_of_dilm(tmp_path):
    (tmp_path / "dpc_1").mkdir()
    for number in range(2):
        file = tmp_path / "dpc_1" / f"dataset_{number}.json"
        file.write_text("\n".join(json.dumps({"sentence": f"text {number}", "labels": y}) for y in (0, 1)))
    assert given_sets(str(tmp_path)).counts == {1: 2}


def test_sets_that_cannot_be_read_are_an_error(tmp_path):
    (tmp_path / "dpc_1").mkdir()
    (tmp_path / "dpc_1" / "train.parquet").write_bytes(b"broken")
    with pytest.raises(UserError, match="train.parquet"):
        given_sets(str(tmp_path))


def test_notes_of_a_download_are_no_part_of_a_model(tmp_path):
    for name, note in (("a", "today"), ("b", "tomorrow")):
        cache = tmp_path / name / ".cache" / "huggingface"
        cache.mkdir(parents=True)
        (cache / "config.json.metadata").write_text(note)
        (tmp_path / name / "config.json").write_text("{}")
    first, second = (content_fingerprint(str(tmp_path / name)) for name in "ab")
    assert first == second
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text("[]")
    assert content_fingerprint(str(tmp_path / "c")) != first
