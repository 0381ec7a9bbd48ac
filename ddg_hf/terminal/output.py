# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Lines, tables and the JSON object of a command.

Text from data is never taken for markup or for terminal escapes, wherever it is printed.
"""

import argparse
import contextlib
import json
import math
import os
import sys
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bars
    from rich.text import Text

OPTIONS = {
    "--quiet": "print nothing but warnings and errors",
    "--json": "print the result as one JSON object on standard output, and nothing else there",
}
_MANY_COLUMNS = 10_000
_BARS_OF_LIBRARIES = {
    "HF_HUB_DISABLE_PROGRESS_BARS": (
        ("huggingface_hub.utils", "disable_progress_bars"),
        ("transformers.utils.logging", "disable_progress_bar"),
    ),
    "HF_DATASETS_DISABLE_PROGRESS_BARS": (("datasets.utils", "disable_progress_bars"),),
}


@dataclass
class _State:
    """How a command prints, and what it has to print at its end."""

    quiet: bool = False
    as_json: bool = False
    # The program's standard output, while `sys.stdout` is another one.
    stdout: TextIO | None = None
    result: Mapping[str, Any] | None = None
    # What is being drawn on the terminal, and by how many.
    bars: "Bars | None" = None
    num_bars: int = 0


_state = _State()


def state() -> _State:
    """The state of the command that runs."""
    return _state


# ---- the options ----


class _ReadBefore(argparse.Action):
    """An option for `--help`: it is taken from the command line before a parser sees it ([`split_options`])."""

    def __call__(self, parser, namespace, values, option_string=None):
        pass


def add_options(parser: argparse.ArgumentParser) -> None:
    """Lists the options of printing in the help of a parser, whose namespace does not get them."""
    group = parser.add_argument_group("printing")
    for name, what in OPTIONS.items():
        group.add_argument(
            name, action=_ReadBefore, nargs=0, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, help=what
        )


def split_options(argv: Sequence[str]) -> tuple[list[str], dict[str, bool]]:
    """Returns the other arguments, and the arguments of [`session`] that the options of printing stand for."""
    end = argv.index("--") if "--" in argv else len(argv)
    own = set(argv[:end]) & set(OPTIONS)
    rest = [argument for argument in argv[:end] if argument not in OPTIONS]
    return [*rest, *argv[end:]], {"quiet": "--quiet" in own, "as_json": "--json" in own}


@contextlib.contextmanager
def session(quiet: bool = False, as_json: bool = False) -> Iterator[None]:
    """
    Within it, everything is printed in one way.

    Args:
        quiet: Nothing but warnings and errors is printed, and what a command is asked to print.
        as_json: On standard output there is the JSON object of [`emit_result`] only. Progress and messages are on
            standard error as ever, unless `quiet`.
    """
    global _state
    before, _state = _state, _State(quiet, as_json, sys.stdout)
    with contextlib.ExitStack() as stack:
        # Also what libraries print.
        if quiet:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        elif as_json:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if quiet or not is_drawn(sys.stderr):
            _hide_bars_of_libraries()
        try:
            yield
        finally:
            end_drawing()
            _state = before


def _hide_bars_of_libraries() -> None:
    """Turns off the progress bars of other libraries, which they would write into files as well."""
    for variable, functions in _BARS_OF_LIBRARIES.items():
        if variable in os.environ:  # the user has said what is wanted, or this has been done
            continue
        os.environ[variable] = "1"  # for modules that are not imported yet
        for module, function in functions:
            if module in sys.modules:
                getattr(sys.modules[module], function)()


# ---- lines ----


def is_main_process() -> bool:
    """Whether this process prints: of several that do one piece of work together, the first one."""
    return os.environ.get("RANK", "0") == "0"


def printable(text: str, longest: int | None = None) -> str:
    """
    Returns a text in one line, with an escape such as `\\x1b` for every character that is not printable (control
    characters, terminal escape sequences, marks of direction), cut after `longest` characters. All spaces stay.
    """
    cut = text if longest is None or len(text) <= longest else text[:longest] + "…"
    return "".join(char if _is_printable(char) else char.encode("unicode_escape").decode("ascii") for char in cut)


def _is_printable(char: str) -> bool:
    # Of the spaces Python counts only that of ASCII; Chinese and French texts have others.
    return char.isprintable() or unicodedata.category(char) == "Zs"


def duration(seconds: float | None) -> str:
    """`90.0` as "1 min 30 s"; "?" if it is not known."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def say(line: str = "") -> None:
    """Prints a line of what a command has to say on standard output."""
    if is_main_process() and not (_state.quiet or _state.as_json):
        _write(line, sys.stdout)


def note(line: str) -> None:
    """Prints a line about the work itself on standard error."""
    if is_main_process() and not _state.quiet:
        _write(line, sys.stderr)


def warn(line: str) -> None:
    """Prints a line that must be seen, a warning or an error, on standard error."""
    _write(line, sys.stderr)


def _write(line: str, stream: TextIO) -> None:
    text = _encodable(printable(line), stream)
    if _state.bars is not None and is_terminal(stream):
        from rich.text import Text

        _state.bars.console.print(Text(text), soft_wrap=True)  # above what is drawn
    else:
        print(text, file=stream, flush=True)


def _encodable(text: str, stream: TextIO) -> str:
    """A text with escapes for what the encoding of a stream lacks: printing must not fail after a long run."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


# ---- terminals ----


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody may be looking at a stream."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def is_drawn(stream: TextIO) -> bool:
    """Whether colours and moving lines may be written to a stream: to a terminal, if its user does not object."""
    return (
        is_terminal(stream)
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    )


def draws_progress() -> bool:
    """Whether progress may be drawn on standard error."""
    return is_drawn(sys.stderr) and is_main_process() and not _state.quiet


def console_of(stream: TextIO) -> "Console":
    """A console that writes to a stream what it is given: no markup, no highlighting, no emoji codes."""
    from rich.console import Console as RichConsole

    class Console(RichConsole):
        def on_broken_pipe(self) -> None:
            raise  # rich ends the process; the command line knows what to do

    drawn = is_drawn(stream)
    return Console(
        file=None if stream is sys.stderr else stream,
        stderr=stream is sys.stderr,
        force_terminal=drawn,
        force_interactive=drawn,
        color_system="auto" if drawn else None,
        force_jupyter=False,
        markup=False,
        emoji=False,
        highlight=False,
    )


def end_drawing() -> None:
    """Leaves the terminal as it should be: nothing is drawn any more, and the cursor is visible."""
    if _state.bars is not None:
        _state.bars.stop()
    _state.bars, _state.num_bars = None, 0


# ---- tables ----


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence["str | Text"]],
    title: str | None = None,
    left: Collection[str] | None = None,
    keys: int = 1,
) -> None:
    """
    Prints a table on standard output. No number is cut: on a terminal that is too narrow its columns are printed in
    several parts, otherwise it is as wide as it needs to be.

    Args:
        columns: Their titles; all empty: no line of titles.
        rows: Their cells. A `rich` text keeps its styles.
        title: A line above.
        left: Titles of the columns that are aligned to the left; by default the first one.
        keys: How many columns say what a row is about: the first ones, which every part has.
    """
    if _state.quiet or _state.as_json or not is_main_process():
        return
    from rich import box
    from rich.table import Table

    left = columns[:1] if left is None else left
    body = [[_cell(text) for text in row] for row in rows]
    heads = [_cell(name) for name in columns]
    if title is not None:
        say(title)
    for part in _parts([max(cell.cell_len for cell in column) for column in zip(heads, *body, strict=True)], keys):
        shown = Table(box=box.SIMPLE, show_header=any(columns), show_edge=True)
        for i in part:
            shown.add_column(heads[i], justify="left" if columns[i] in left else "right", no_wrap=True)
        for row in body:
            shown.add_row(*(row[i] for i in part))
        _show(shown)


def _parts(widths: Sequence[int], keys: int) -> list[list[int]]:
    """Which columns of these widths stand beside one another: all, or on a narrow terminal as many as it has room."""
    if not is_terminal(sys.stdout):
        return [list(range(len(widths)))]
    room, between = console_of(sys.stdout).width - 2, 3  # a column at either edge
    first = list(range(keys))
    parts = [list(first)]
    for i in range(keys, len(widths)):
        if len(parts[-1]) > keys and sum(widths[j] + between for j in (*parts[-1], i)) - 1 > room:
            parts.append(list(first))
        parts[-1].append(i)
    return parts


def _cell(text: "str | Text") -> "Text":
    from rich.text import Text

    if isinstance(text, Text):
        text.plain = _encodable(printable(text.plain), sys.stdout)
        return text
    return Text(_encodable(printable(text), sys.stdout))


def _show(renderable: "RenderableType") -> None:
    from rich.measure import Measurement

    console = console_of(sys.stdout)
    needed = Measurement.get(console, console.options.update(max_width=_MANY_COLUMNS), renderable).maximum
    console.width = max(console.width, needed)
    end_drawing()
    console.print(renderable, soft_wrap=True)
    sys.stdout.flush()


# ---- results ----


def result(content: Mapping[str, Any], text: str | None = None) -> None:
    """
    Says what a command has done or found.

    Args:
        content: What `--json` prints when the command has ended. If commands run within commands, the last one counts.
        text: What the command was asked to print on standard output; it is printed as it is, also with `--quiet`, but
            not with `--json`.
    """
    if _state.as_json:
        _state.result = content
    elif text is not None and is_main_process():
        stream = _state.stdout or sys.stdout
        stream.write(text)
        stream.flush()


def emit_result() -> None:
    """Prints the JSON object, if that is asked for. It is ASCII: nothing in it that a terminal would obey."""
    if _state.as_json and _state.result is not None and is_main_process():
        print(json.dumps(_without_nan(_state.result), indent=2), file=_state.stdout, flush=True)


def _without_nan(value: Any) -> Any:
    """`value` with null for the numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(one) for key, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, (list, tuple)) else value
