# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Answers that are kept: what comes back, and what is refused."""

import json

import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.journal import Journal, fingerprint


def test_a_journal_gives_back_what_it_was_given(tmp_path):
    journal = Journal(tmp_path / "answers.jsonl")
    values = ["two\u2028lines\n", None, [-1.2345678901234567, 3], {"a": "\ud800"}]
    for i, value in enumerate(values):
        journal.keep(str(i), value)
    again = Journal(tmp_path / "answers.jsonl")
    assert [again[str(i)] for i in range(4)] == values and len(again) == 4
    assert len((tmp_path / "answers.jsonl").read_bytes().splitlines()) == 4
    assert json.loads((tmp_path / "answers.jsonl").read_text().splitlines()[1]) == {"key": "1", "value": None}


@pytest.mark.parametrize("line", ["not JSON", "[1]", '{"key": "a"}', '{"key": [1], "value": 2}'])
def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path, line):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"key": "a", "value": 1}\n' + line + "\n")
    with pytest.raises(UserError, match="line 2"):
        Journal(path)
    assert line in path.read_text()


def test_a_journal_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot read the answers"):
        Journal(tmp_path)


def test_a_line_without_its_end_is_cut_off(tmp_path):
    path = tmp_path / "answers.jsonl"
    Journal(path).keep("a", 1)
    whole = path.read_bytes()
    for torn in (b"{", b'{"key": "b", "value": 2}'):
        path.write_bytes(whole + torn)
        journal = Journal(path)
        assert len(journal) == 1 and path.read_bytes() == whole
    journal.keep("c", 3)
    assert Journal(path)["c"] == 3


def test_nothing_is_written_without_a_path_or_an_answer(tmp_path):
    Journal(tmp_path / "answers.jsonl")
    journal = Journal()
    journal.keep("a", 1)
    assert "a" in journal and "b" not in journal and list(tmp_path.iterdir()) == []


def test_a_fingerprint_depends_on_what_is_asked_only():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint(["a", "b"]) != fingerprint(["ab"]) != fingerprint("ab")
