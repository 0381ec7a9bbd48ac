# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf <command>`: the entry points of `recipes/` under one name."""

import atexit
import importlib
import logging
import os
import select
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TextIO

from . import terminal
from .errors import UserError, closest
from .version import __version__

# command -> (module of the recipe, what it does)
COMMANDS = {
    "demo": ("ddg_hf.recipes.demo", "run the whole pipeline on the embedded data set and compare the methods"),
    "models": ("ddg_hf.recipes.models", "prepare two real models for machines without the Hub"),
    "pretrain": ("ddg_hf.recipes.pretrain", "train a label-conditioned generator with the language-model loss"),
    "distill": ("ddg_hf.recipes.distill", "distil a pretrained generator by gradient matching"),
    "generate": ("ddg_hf.recipes.generate", "sample distilled sets and write them as Parquet"),
    "select": ("ddg_hf.recipes.select_rows", "choose training rows as demonstration sets and write them as Parquet"),
    "rerank": ("ddg_hf.recipes.rerank", "keep the sets with which a language model labels held-out rows best"),
    "evaluate-learner": ("ddg_hf.recipes.evaluate_learner", "train classifiers on distilled sets and test them"),
    "evaluate-icl": ("ddg_hf.recipes.evaluate_icl", "use distilled sets as demonstrations of a language model"),
    "compare": ("ddg_hf.recipes.compare", "compare two evaluations of the same queries"),
    "study": ("ddg_hf.recipes.study", "compare methods on a task: a resumable grid, one table, one report"),
    "measure": ("ddg_hf.recipes.measure", "measure sets: gradient match, labels, variety, length, copies"),
    "check": ("ddg_hf.recipes.check", "check distilled sets for copies, leaks, personal data and balance"),
    "report": ("ddg_hf.recipes.report", "write a page with the results of a study or of runs"),
    "push": ("ddg_hf.recipes.push", "publish distilled sets on the Hub, with a card"),
    "pull": ("ddg_hf.recipes.pull", "fetch distilled sets from the Hub"),
    "convert": ("ddg_hf.recipes.convert", "convert labelled texts from any format to any other"),
    "export": ("ddg_hf.recipes.export", "write demonstrations in the formats of other tools"),
}


def run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """
    Runs the `main` of a recipe and returns the exit code. What it prints is as `--quiet` and `--json` ask for.

    A [`UserError`], or a file that cannot be read or written, becomes one line on standard error and exit code 2; an
    interrupt exit code 130. Anything else is a bug and keeps its traceback.
    """
    argv, printing = terminal.split_options(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(argv):
        printing = {}
    with terminal.session(**printing):
        return _run(main, argv)


def _run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str]) -> int:
    _show_messages()
    try:
        code = main(argv) or 0
        terminal.emit_result()
        leave_processes(code)
        return code
    except UserError as error:
        return _fail(f"error: {' '.join(str(error).split())}", 2)
    except BrokenPipeError:
        if not _has_no_reader(sys.stdout):
            raise
        return 141  # as of a process that the signal of a closed pipe has ended
    except OSError as error:
        # Of this machine's files: no such directory, no rights, a full disk. Others, as from a server, are not.
        if error.errno is None or error.filename is None:
            raise
        return _fail(f"error: '{error.filename}': {error.strerror}", 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _has_no_reader(stream: TextIO) -> bool:
    """Whether a stream is a pipe into a program that has ended, such as `head`; it leads nowhere from then on."""
    try:
        poll = select.poll()
        poll.register(stream, select.POLLOUT)
    except (OSError, ValueError, AttributeError):  # no file, closed, or no such function on this system
        return False
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return True


def _fail(line: str, code: int) -> int:
    terminal.end_drawing()
    terminal.warn(line)
    return code


def leave_processes(code: int = 0) -> None:
    """
    Ends the process group and this process with it, if there is one.

    What the interpreter does at its end is done here. But it does not take the interpreter down: a thread of the group
    that asks for the interpreter's lock then (Python before 3.14 unwinds it) aborts a process that has done its work.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return
    distributed.destroy_process_group()
    threading._shutdown()  # waits for threads that are not daemons, such as those of trackers
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _Messages(logging.Handler):
    """Prints messages of the package on standard error: warnings always, others unless `--quiet`."""

    def emit(self, record: logging.LogRecord) -> None:
        write = terminal.warn if record.levelno >= logging.WARNING else terminal.note
        for line in self.format(record).splitlines():
            write(line)


def _show_messages() -> None:
    """Shows what the package tells its users while it works; of several processes, the main one's."""
    logger = logging.getLogger("ddg_hf")
    if os.environ.get("RANK", "0") == "0" and not logger.handlers:
        handler = _Messages()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def usage() -> str:
    """The text of `ddg-hf --help`."""
    lines = [f"  {name:<18}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            f"ddg_hf {__version__}: readable synthetic demonstrations from a labelled text data set",
            "",
            "usage: ddg-hf <command> [--config FILE.yaml] [--option value ...]",
            "",
            "commands:",
            *lines,
            "",
            "`ddg-hf <command> --help` lists the options of a command.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `ddg-hf`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        print(__version__)
        return 0
    command = argv[0]
    if command not in COMMANDS:
        terminal.warn(f"error: unknown command '{command}'.{closest(command, COMMANDS)}")
        return 2
    module = importlib.import_module(COMMANDS[command][0])
    return run(module.main, argv[1:])


if __name__ == "__main__":
    sys.exit(main())
