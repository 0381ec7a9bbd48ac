# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Lines, tables, progress and results as `--quiet`, `--json`, terminals and `NO_COLOR` ask for."""

import io
import json
import logging
import os
import re
import sys

import pytest
from rich.text import Text

from ddg_hf import cli, terminal
from ddg_hf.errors import UserError
from ddg_hf.terminal import Progress, output, progress

HOSTILE = "[red]x[/red] :smile: \x1b[31m\u202e\x07"
SHOWN = r"[red]x[/red] :smile: \x1b[31m\u202e\x07"


def command(argv):
    """A command that prints in every way that there is."""
    terminal.say(f"said {HOSTILE}")
    terminal.note("noted")
    terminal.table(("name", "value"), [[HOSTILE, Text("styled", style="red")]], title="title")
    print("printed by a library")
    logging.getLogger("ddg_hf.something").info("informed")
    logging.getLogger("ddg_hf.something").warning("warned")
    with Progress("working", 2, "thing") as bar:
        bar.update(2)
    terminal.result({"command": "x", "argv": argv, "label": HOSTILE, "nan": [float("nan"), {"a": float("inf")}]})
    return 0


@pytest.fixture
def printed(capsys):
    """Runs a command; returns its exit code and what it printed on standard output and standard error."""

    def run(*argv, main=command) -> tuple[int, str, str]:
        code = cli.run(main, list(argv))
        out, err = capsys.readouterr()
        return code, out, re.sub(r"in \d+ s\b", "in 0 s", err)  # however slow it was

    return run


def test_normally_results_are_on_standard_output_and_the_rest_on_standard_error(printed):
    code, out, err = printed("a")
    assert code == 0
    assert f"said {SHOWN}\n" in out and "title\n" in out and "styled" in out and "printed by a library" in out
    assert err.splitlines() == ["noted", "informed", "warned", "working thing 2/2 in 0 s"]


def test_quiet_prints_warnings_only(printed):
    assert printed("--quiet", "a") == (0, "", "warned\n")


def test_json_is_alone_on_standard_output(printed):
    code, out, err = printed("a", "--json", "b")
    assert code == 0 and out.isascii()
    assert json.loads(out) == {"command": "x", "argv": ["a", "b"], "label": HOSTILE, "nan": [None, {"a": None}]}
    assert err.splitlines() == ["noted", "printed by a library", "informed", "warned", "working thing 2/2 in 0 s"]


def test_json_and_quiet(printed):
    code, out, err = printed("--quiet", "--json")
    assert json.loads(out)["command"] == "x" and err == "warned\n"


def test_the_state_ends_with_the_command(printed):
    printed("--quiet", "--json")
    assert output.state() == output._State()
    assert "said" in printed()[1]


@pytest.mark.parametrize("options", [[], ["--quiet"], ["--json"]])
def test_an_error_is_one_line_on_standard_error(printed, options):
    def main(argv):
        terminal.result({"command": "x"})
        raise UserError("label 'a\x1b[31m\nb' is wrong")

    code, out, err = printed(*options, main=main)
    assert (code, out, err) == (2, "", "error: label 'a\\x1b[31m b' is wrong\n")


def test_exit_code_1_has_its_result(printed):
    def main(argv):
        terminal.result({"found": 3})
        return 1

    code, out, _ = printed("--json", main=main)
    assert code == 1 and json.loads(out) == {"found": 3}


def test_the_last_of_several_results_counts(printed):
    def main(argv):
        for number in range(3):
            terminal.result({"number": number}, text=f"{number}\n")

    assert json.loads(printed("--json", main=main)[1]) == {"number": 2}
    # What is asked for is printed, however quiet the rest is.
    assert printed("--quiet", main=main)[1] == printed(main=main)[1] == "0\n1\n2\n"


def test_options_are_found_before_two_dashes_only():
    assert terminal.split_options(["a", "--json", "--", "--quiet"]) == (
        ["a", "--", "--quiet"],
        {"quiet": False, "as_json": True},
    )


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_printed_though_it_is_quiet(option, capsys):
    with pytest.raises(SystemExit):
        cli.main(["compare", "--quiet", option])
    assert "--json" in capsys.readouterr().out


def test_only_the_first_of_several_processes_prints(printed, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    for options in ([], ["--json"]):
        _, out, err = printed(*options)
        assert (out + err).replace("printed by a library\n", "") == "warned\n"


def test_what_the_encoding_lacks_is_escaped(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.say("caf\u00e9")
    terminal.table(("caf\u00e9",), [["na\u00efve"]])
    stream.flush()
    shown = stream.buffer.getvalue().decode()
    assert "caf\\xe9" in shown and "na\\xefve" in shown


def test_a_table_is_as_wide_as_it_needs_to_be(printed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    _, out, _ = printed(main=lambda argv: terminal.table(("n", "v"), [["a" * 60, "1.5 [1.25, 1.75]"]]))
    assert f"{'a' * 60}   1.5 [1.25, 1.75]" in out


def test_a_table_that_is_too_wide_for_a_terminal_is_printed_in_parts(printed, monkeypatch):
    """No number is cut, and every part says what its rows are about."""
    monkeypatch.setenv("COLUMNS", "44")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(output, "is_terminal", lambda stream: True)
    columns = ("method", "dpc", "raw", "calibrated", "tiny")
    rows = [[name, "5", "78.9 [74.3, 83.4]", "88.4 [85.3, 91.2]", "51.2 [48.0, 54.1]"] for name in ("DDG", "none")]
    _, out, _ = printed(main=lambda argv: terminal.table(columns, rows, keys=2))
    lines = [line for line in out.splitlines() if line.strip()]
    assert max(map(len, lines)) <= 44
    assert [line.split() for line in lines if "dpc" in line] == [["method", "dpc", name] for name in columns[2:]]
    assert len([line for line in lines if line.split()[:2] == ["DDG", "5"]]) == 3
    for cell in rows[0][2:]:
        assert out.count(cell) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0.4, "0 s"), (59.6, "1 min 00 s"), (90, "1 min 30 s"), (3725, "1 h 02 min")],
)
def test_durations(seconds, text):
    assert terminal.duration(seconds) == text


@pytest.mark.parametrize("text", ["a\u00a0b", "\u4f60\u597d\u3000\u4e16\u754c", "12\u202f%", "\u2003x"])
def test_spaces_of_all_kinds_are_printed_as_they_are(text, capsys):
    terminal.say(text)
    terminal.table(("label", "n"), [[text, "1"]])
    assert capsys.readouterr().out.startswith(f"{text}\n") and terminal.printable(text) == text


def test_separators_of_lines_are_not_spaces():
    assert terminal.printable("a\u2028b\u2029c\x85d") == r"a\u2028b\u2029c\x85d"


# ---- progress that is not drawn ----


@pytest.fixture
def clock(monkeypatch):
    """A clock that is moved by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_are_rare(clock, capsys):
    with Progress("sampling", 1000, "text") as bar:
        for _ in range(1000):
            clock[0] += 0.5
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "sampling text 100/1000 eta 7 min 30 s"
    assert lines[-1] == "sampling text 1000/1000 in 8 min 20 s"
    assert len(lines) == 10


def test_plain_lines_of_slow_work_come_every_minute(clock, capsys):
    bar = Progress("a", 1000, "step")
    for _ in range(7):
        clock[0] += 30.0
        bar.update()
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["2/1000", "4/1000", "6/1000"]


def test_the_time_that_is_left_follows_from_what_was_done_here(clock, capsys):
    bar = Progress("distill", 100, "step", done=60, throttled=False)
    clock[0] += 20
    bar.update(10)
    bar.report(loss="0.5", lr="1e-5")
    bar.expect(5.0)
    bar.report(loss="0.4")
    assert capsys.readouterr().err.splitlines() == [
        "distill step 70/100 loss 0.5 lr 1e-5 eta 1 min 00 s",
        "distill step 70/100 loss 0.4 eta 5 s",
    ]


def test_work_that_fails_has_no_last_line(capsys):
    with pytest.raises(ValueError), Progress("a", 3, "b") as bar:
        bar.update()
        raise ValueError
    assert capsys.readouterr().err == ""


def test_progress_that_is_not_shown(capsys):
    with Progress("a", 3, "b", shown=False) as bar:
        bar.update(3)
        bar.report(c="d")
    assert bar.done == 3 and capsys.readouterr() == ("", "")


# ---- terminals ----


PROGRAM = f"""
import sys, time
from ddg_hf import cli, terminal

def main(argv):
    with terminal.Progress("working [red]x[/red]", 3, "thing") as bar:
        for number in range(3):
            time.sleep(0.05)
            bar.update()
            bar.report(loss=f"0.{{number}}")
            terminal.say({"said " + HOSTILE!r})
            print("by a library", file=sys.stderr)
        if "fail" in argv:
            raise ValueError("a bug")
    terminal.table(("label", "n"), [[{HOSTILE!r}, "1"]], title="title")
    terminal.result({{"command": "x"}})

sys.exit(cli.run(main))
"""


def on_terminal(*argv: str, stdout=None, **environment: str) -> str:
    """What a terminal gets from the program, with its escape sequences."""
    pty = pytest.importorskip("pty")
    import subprocess

    ours, theirs = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM", "RANK")}
    variables |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "24", **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *argv], stdin=theirs, stdout=stdout or theirs, stderr=theirs, env=variables
    )
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the last one who wrote has closed it
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(ours)
    process.wait(timeout=60)
    return b"".join(chunks).decode()


def without_escapes(text: str) -> str:
    return Text.from_ansi(text.replace("\r", "")).plain


def test_progress_is_drawn_on_a_terminal():
    shown = on_terminal()
    assert "\x1b[?25l" in shown and shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    assert "\x1b[2K" in shown and "working [red]x[/red] thing 3/3" in shown and "loss 0.2" in shown
    assert re.search(r"in \d+ s", shown) and "━" in shown
    assert shown.count(f"said {SHOWN}\r\n") == 3 and shown.count("by a library") == 3
    assert SHOWN in shown[shown.index("title") :]
    assert "\x1b[31m" not in shown and "\x07" not in shown  # of the data


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colour_there_is_no_escape_sequence(environment):
    shown = on_terminal(**environment)
    assert "\x1b" not in shown
    assert "working [red]x[/red] thing 3/3 loss 0.2 in " in shown and "title\r\n" in shown


def test_quiet_draws_nothing():
    shown = on_terminal("--quiet")
    assert set(shown.split("\r\n")) == {"by a library", ""}


def test_json_in_a_file_while_progress_is_drawn(tmp_path):
    with open(tmp_path / "out", "w") as file:
        shown = on_terminal("--json", stdout=file)
    assert json.loads((tmp_path / "out").read_text()) == {"command": "x"}
    assert "thing 3/3" in shown and "said" not in shown and "title" not in shown


def test_lines_in_a_file_while_progress_is_drawn(tmp_path):
    with open(tmp_path / "out", "w") as file:
        shown = on_terminal(stdout=file)
    lines = (tmp_path / "out").read_text()
    assert lines.count(f"said {SHOWN}\n") == 3 and "\x1b" not in lines
    assert "said" not in shown and "thing 3/3" in shown


def test_a_traceback_comes_after_what_was_drawn():
    shown = on_terminal("fail")
    assert shown.rindex("\x1b[?25h") < shown.index("Traceback")
    assert "ValueError: a bug" in shown
