# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a study shows while it runs."""

from types import SimpleNamespace

import pytest

from ddg_hf import terminal
from ddg_hf.study.runner import DONE, ELSEWHERE, FAILED, RUNNING, WAITING, CellState
from ddg_hf.study.terminal import StudyDisplay


@pytest.fixture
def follow():
    """Shows four cells that end in different ways; calls a function after each change."""

    def run(after=lambda display: None):
        cells = [SimpleNamespace(name=f"cell/{k}") for k in range(4)]
        states = {cell.name: CellState(WAITING) for cell in cells}
        states["cell/0"] = CellState(DONE, 1.0)
        study = SimpleNamespace(
            cells=cells,
            args=SimpleNamespace(num_workers=2),
            states=lambda: states,
            estimates=lambda states: dict.fromkeys(states, 30.0),
        )
        with StudyDisplay(study) as display:
            for name, state in (
                ("cell/1", CellState(RUNNING)),
                ("cell/1", CellState(DONE, 75.0)),
                ("cell/2", CellState(ELSEWHERE)),
                ("cell/3", CellState(FAILED, 2.0, error="[red]no\x1b[31m")),
            ):
                states[name] = state
                display.on_change(next(cell for cell in cells if cell.name == name), state, states)
                after(display)

    return run


def test_plain_lines(follow, capsys):
    follow()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[:4] == [
        "[1/4] cell/1 ...",
        "[2/4] cell/1: 1 min 15 s, about 30 s left",
        "[2/4] cell/2 is run by another process",
        r"[2/4] cell/3 failed: [red]no\x1b[31m",
    ]
    assert err.splitlines()[4].startswith("study command 2/4 in ")


def test_quiet_names_failures_only(follow, capsys):
    with terminal.session(quiet=True):
        follow()
    assert capsys.readouterr() == ("", "[2/4] cell/3 failed: [red]no\\x1b[31m\n")


def test_a_line_that_moves(follow, capsys, monkeypatch):
    monkeypatch.setattr(terminal.progress, "draws_progress", lambda: True)
    seen = []
    follow(lambda display: seen.append((display._bar.count(), display._bar.values, display._bar.time())))
    assert [count for count, _, _ in seen] == ["study command 1/4", *["study command 2/4"] * 3]
    assert [values for _, values, _ in seen] == ["running cell/1", "", "", ""]
    assert [time for _, _, time in seen] == ["eta 45 s", "eta 30 s", "eta 30 s", "eta 15 s"]
    assert "cell/1 ..." not in capsys.readouterr().err  # the line says that
