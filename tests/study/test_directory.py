# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is on disk says what is done, whatever happened to it."""

import json
import multiprocessing
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ddg_hf.errors import UserError
from ddg_hf.study.plan import Cell
from ddg_hf.study.runner import DONE, ELSEWHERE, FAILED, WAITING, CellState, StudyDirectory, StudyRunner, _Running

SETS = Cell("sets/a", "select", {"dpc": [5], "seed": 1}, covers=(5,))
ICL = Cell("icl/a/dpc_5", "evaluate-icl", {"dpc": [5], "seed": 1}, inputs={"distilled": "sets/a"}, dpc=5)


@pytest.fixture
def directory(tmp_path):
    return StudyDirectory(tmp_path, [SETS, ICL])


def finish(directory, cell):
    """What a command leaves behind."""
    output = directory.output(cell.name)
    output.mkdir(parents=True, exist_ok=True)
    (output / "metadata.json").write_text("{}")


def test_a_cell_is_done_when_its_output_is_whole(directory):
    assert directory.state(SETS) == CellState(WAITING) and directory.changed() == []
    command, seconds = directory.begin(SETS)
    assert command[:5] == ["select", "--dpc", "5", "--seed", "1"] and seconds == 0
    assert directory.state(SETS).state == WAITING
    finish(directory, SETS)
    assert directory.state(SETS).state == DONE, "also where the study was killed before it could record it"
    directory.note(SETS, CellState(DONE, 3.0, 100.0))
    assert directory.state(SETS) == CellState(DONE, 3.0, 100.0)


def test_stopped_attempts_count(directory):
    directory.begin(SETS)
    directory.note(SETS, CellState(WAITING, 40.0))
    assert directory.begin(SETS)[1] == 40.0
    directory.note(SETS, CellState(FAILED, 50.0, None, "no reason"))
    assert directory.state(SETS) == CellState(FAILED, 50.0, None, "no reason")
    assert directory.begin(SETS)[1] == 50.0
    assert directory.state(SETS).state == WAITING


def test_what_others_have_made_is_made_again(directory, tmp_path):
    directory.begin(SETS)
    finish(directory, SETS)
    (directory.output(SETS.name) / "more").write_text("x")
    other = StudyDirectory(tmp_path, [replace(SETS, options={"dpc": [5], "seed": 2}), ICL])
    assert [cell.name for cell in other.changed()] == ["sets/a"]
    assert other.state(other.cells[0]).state == WAITING
    assert other.begin(other.cells[0])[1] == 0 and not other.output("sets/a").exists()
    assert directory.state(SETS).state == WAITING


def test_more_demonstrations_per_class_are_added(directory, tmp_path):
    for cell in (SETS, ICL):
        directory.begin(cell)
        finish(directory, cell)
    more = StudyDirectory(tmp_path, [replace(SETS, covers=(1, 10)), ICL])
    assert more.changed() == [] and more.state(ICL).state == DONE
    assert more.state(more.cells[0]).state == WAITING
    command, _ = more.begin(more.cells[0])
    assert command[:5] == ["select", "--dpc", "1", "5", "10"] and not more.output("sets/a").exists()
    finish(more, SETS)
    assert more.state(more.cells[0]).state == directory.state(SETS).state == DONE


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", None])
def test_a_damaged_record_is_no_record(directory, damage):
    directory.begin(SETS)
    finish(directory, SETS)
    record = next((directory.path / "state").rglob("*.json"))
    record.unlink() if damage is None else record.write_text(damage)
    assert directory.state(SETS).state == WAITING
    assert [cell.name for cell in directory.changed()] == ["sets/a"], "nobody knows how it was made"
    directory.begin(SETS)
    assert not directory.output("sets/a").exists() and directory.changed() == []


def test_a_deleted_output_is_made_again(directory):
    directory.begin(SETS)
    finish(directory, SETS)
    (directory.output("sets/a") / "metadata.json").unlink()
    assert directory.state(SETS).state == WAITING and directory.changed() == [SETS][:0]


def test_records_hold_no_secrets(tmp_path):
    cell = Cell("icl/a", "evaluate-icl", {"api_key": "hf_abcdefghijkl"})
    directory = StudyDirectory(tmp_path, [cell])
    directory.begin(cell)
    content = json.loads((tmp_path / "state" / "icl" / "a.json").read_text())
    assert "hf_abcdefghijkl" not in json.dumps(content) and "<redacted>" in content["command"]


def test_a_link_is_removed_and_not_what_it_leads_to(directory, tmp_path):
    lent = tmp_path / "lent"
    lent.mkdir()
    (lent / "metadata.json").write_text("{}")
    directory.output(SETS.name).parent.mkdir(parents=True)
    directory.output(SETS.name).symlink_to(lent, target_is_directory=True)
    assert directory.changed() == [SETS]
    directory.begin(SETS)
    assert directory.state(SETS).state == WAITING and (lent / "metadata.json").is_file()


def test_an_output_that_cannot_be_deleted_does_not_count_as_made_anew(directory, monkeypatch):
    directory.begin(SETS)
    finish(directory, SETS)
    other = StudyDirectory(directory.path, [replace(SETS, options={"dpc": [5], "seed": 2})])

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(UserError, match="cannot delete '.*/cells/sets/a', .*: Permission denied"):
        other.begin(other.cells[0])
    assert other.state(other.cells[0]).state == WAITING and other.changed()


def test_what_cannot_be_deleted_fails_by_itself(directory, monkeypatch):
    """The others go on."""
    directory.begin(SETS)
    finish(directory, SETS)
    other = Cell("sets/b", "select", {"seed": 1})
    cells = [replace(SETS, options={"dpc": [5], "seed": 2}), other]
    runner = StudyRunner(StudyDirectory(directory.path, cells))
    monkeypatch.setattr(StudyRunner, "_start", lambda self, cell, *_: (self.directory.begin(cell), cell.name)[1])

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    assert runner._start_next(None, 0) == "sets/b"
    failed = runner.states["sets/a"]
    assert failed.state == FAILED and "cannot delete" in failed.error
    with directory.lock("sets/a"):
        pass


@pytest.mark.parametrize(("code", "warned"), [(0, ""), (1, "sets/a is done, but ended with an error: exit code 1")])
def test_a_whole_output_is_done_however_its_command_ended(code, warned, directory, capsys):
    directory.begin(SETS)
    finish(directory, SETS)
    ours, theirs = multiprocessing.Pipe(duplex=False)
    theirs.close()
    process = SimpleNamespace(exitcode=code)
    ended = _Running(SETS, process, ours, directory.lock(SETS.name), 0, before=2.0)
    assert StudyRunner(directory)._outcome(ended).state == DONE == directory.state(SETS).state
    printed = capsys.readouterr().err
    assert warned in printed and bool(printed) == bool(warned)


def test_seconds_of_an_output_that_is_made_anew_are_not_counted(directory):
    directory.begin(SETS)
    finish(directory, SETS)
    directory.note(SETS, CellState(DONE, 1000.0))
    more = StudyDirectory(directory.path, [replace(SETS, covers=(1,))])
    assert more.begin(more.cells[0])[1] == 0
    more.note(more.cells[0], CellState(WAITING, 7.0))
    assert more.begin(more.cells[0])[1] == 7


def test_what_fails_in_another_process_is_not_tried_by_this_one(directory):
    runner = StudyRunner(directory)
    lock = directory.lock(SETS.name)
    lock.acquire()
    directory.begin(SETS)
    assert runner._start_next(None, 0) is None and runner.states[SETS.name].state == ELSEWHERE
    directory.note(SETS, CellState(FAILED, 3.0, None, "no reason"))
    lock.release()
    assert runner.run()[SETS.name] == CellState(FAILED, 3.0, None, "no reason")
