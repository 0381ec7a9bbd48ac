# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Runs the cells of a study, each in a process of its own, and remembers which are done."""

import contextlib
import importlib
import multiprocessing
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import UserError
from ..provenance import METADATA_FILE, peak_memory_mb, read_json, redact, write_json
from .plan import Cell, fingerprints

DONE, FAILED, WAITING, RUNNING, ELSEWHERE = "done", "failed", "waiting", "running", "elsewhere"
POLL_SECONDS = 2.0
"""How often a study looks whether another one has finished a cell that it waits for."""


@dataclass
class CellState:
    """
    How far a cell is.

    Attributes:
        state: `done`, `failed`, `waiting`, `running`, or `elsewhere` (another process of the study runs it).
        seconds: How long it took, over all attempts that came to an end.
        peak_memory_mb: Greatest resident memory of its process, MiB.
        error: Why it failed, in one line.
    """

    state: str = WAITING
    seconds: float | None = None
    peak_memory_mb: float | None = None
    error: str | None = None


@dataclass
class _Running:
    cell: Cell
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    lock: FileLock
    start: float = field(default_factory=time.time)


class StudyDirectory:
    """
    Where the cells of a study are: outputs in `cells/`, records in `state/`, what they print in `logs/`.

    Args:
        path: The directory.
        cells: The plan.
    """

    def __init__(self, path: Path, cells: Sequence[Cell]):
        self.path, self.cells = path, list(cells)
        self.fingerprints = fingerprints(cells)

    def output(self, name: str) -> Path:
        return self.path / "cells" / name

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.txt"

    def record(self, name: str) -> Path:
        return self.path / "state" / f"{name}.json"

    def lock(self, name: str) -> FileLock:
        path = self.path / "state" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path, timeout=0)

    def command(self, cell: Cell) -> list[str]:
        return [cell.stage, *cell.arguments(self.output)]

    def changed(self) -> list[Cell]:
        """Cells that were run, wholly or in part, with other settings than those of the plan."""
        found = []
        for cell in self.cells:
            record = self.record(cell.name)
            if record.is_file() and read_json(record).get("fingerprint") != self.fingerprints[cell.name]:
                found.append(cell)
        return found

    def begin(self, cell: Cell) -> None:
        """Records with which settings a cell is run, before it is."""
        write_json(self.record(cell.name), {"fingerprint": self.fingerprints[cell.name], "state": WAITING})

    def end(self, cell: Cell, state: CellState) -> None:
        content = {"fingerprint": self.fingerprints[cell.name], **vars(state)}
        content["command"] = "ddg-hf " + shlex.join(redact(self.command(cell)))
        write_json(self.record(cell.name), content)

    def state(self, cell: Cell) -> CellState:
        """What is on disk: done if the record of the command is there and the settings are those of the plan."""
        record = self.record(cell.name)
        content = read_json(record) if record.is_file() else {}
        if content.get("fingerprint") != self.fingerprints[cell.name]:
            return CellState()
        known = {name: content.get(name) for name in ("seconds", "peak_memory_mb", "error")}
        if (self.output(cell.name) / METADATA_FILE).is_file() and content.get("state") == DONE:
            return CellState(DONE, **known)
        return CellState(FAILED if content.get("state") == FAILED else WAITING, **known)


class StudyRunner:
    """
    Runs what is not done, every cell after those that it needs. A cell that fails does not stop the others.

    Several runners of one study, on one machine or on several with a shared file system, divide the cells among them.

    Args:
        directory: Where the cells are.
        num_workers: Cells that run at the same time; the processor cores are divided among them.
        on_change: Called with a cell and its state whenever that changes.
    """

    def __init__(
        self,
        directory: StudyDirectory,
        num_workers: int = 1,
        on_change: Callable[[Cell, CellState], None] | None = None,
    ):
        self.directory, self.num_workers = directory, num_workers
        self.on_change = on_change or (lambda cell, state: None)
        self.states = {cell.name: directory.state(cell) for cell in directory.cells}
        for state in self.states.values():
            if state.state == FAILED:  # of an earlier run: another attempt
                state.state = WAITING

    def run(self) -> dict[str, CellState]:
        """Runs until nothing is left that can be run. Returns the state of every cell by its name."""
        context = _context()
        running: list[_Running] = []
        try:
            while True:
                while len(running) < self.num_workers and (started := self._start_next(context)) is not None:
                    running.append(started)
                if running:
                    running = self._collect(running)
                elif any(state.state == ELSEWHERE for state in self.states.values()):
                    time.sleep(POLL_SECONDS)
                else:
                    return self.states
        finally:
            for one in running:
                one.process.terminate()
                one.process.join()
                one.lock.release()

    def _start_next(self, context) -> _Running | None:
        for cell in self.directory.cells:
            state = self.states[cell.name]
            if state.state not in (WAITING, ELSEWHERE) or not self._is_ready(cell):
                continue
            lock = self.directory.lock(cell.name)
            try:
                lock.acquire()
            except Timeout:
                self._set(cell, CellState(ELSEWHERE))
                continue
            found = self.directory.state(cell)
            if found.state == DONE:  # by another process in the meantime
                lock.release()
                self._set(cell, found)
                continue
            return self._start(cell, lock, context)
        return None

    def _is_ready(self, cell: Cell) -> bool:
        return all(self.states[name].state == DONE for name in cell.needs)

    def _start(self, cell: Cell, lock: FileLock, context) -> _Running:
        self.directory.begin(cell)
        ours, theirs = context.Pipe(duplex=False)
        log = self.directory.log(cell.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = max(1, (os.cpu_count() or 1) // self.num_workers)
        process = context.Process(
            target=run_cell, args=(self.directory.command(cell), str(log), threads, theirs), name=cell.name
        )
        self._set(cell, CellState(RUNNING))
        process.start()
        theirs.close()
        return _Running(cell, process, ours, lock)

    def _collect(self, running: list[_Running]) -> list[_Running]:
        """Waits until a process ends, and records what became of its cell. Returns those that still run."""
        ended = wait([one.process.sentinel for one in running], timeout=POLL_SECONDS)
        left = []
        for one in running:
            if one.process.sentinel not in ended:
                left.append(one)
                continue
            one.process.join()
            state = self._outcome(one)
            self.directory.end(one.cell, state)
            one.lock.release()
            self._set(one.cell, state)
        return left

    def _outcome(self, one: _Running) -> CellState:
        report: dict[str, Any] = {}
        with contextlib.suppress(EOFError, OSError):
            if one.pipe.poll():
                report = one.pipe.recv()
        one.pipe.close()
        seconds, memory = round(time.time() - one.start, 1), report.get("peak_memory_mb")
        if one.process.exitcode == 0 and (self.directory.output(one.cell.name) / METADATA_FILE).is_file():
            return CellState(DONE, seconds, memory)
        reason = report.get("error") or f"exit code {one.process.exitcode}"
        return CellState(FAILED, seconds, memory, f"{reason} (see {self.directory.log(one.cell.name)})")

    def _set(self, cell: Cell, state: CellState) -> None:
        if self.states[cell.name] != state:
            self.states[cell.name] = state
            self.on_change(cell, state)


def _context():
    """Processes that start from one in which the libraries are loaded already, where there is such a thing."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported, but not used: threads and devices must not be inherited.
    context.set_forkserver_preload(["ddg_hf.study.preload"])
    return context


def run_cell(command: list[str], log: str, threads: int, pipe: Connection) -> None:
    """Runs one command in this process, which ends with its exit code. What it prints goes to `log`."""
    _end_with_parent()
    # Another process group's settings are none of this command's business.
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
    file = open(log, "a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = file
    print(f"$ ddg-hf {shlex.join(redact(command))}", flush=True)
    import torch

    from ..cli import COMMANDS, run

    torch.set_num_threads(threads)
    main = importlib.import_module(COMMANDS[command[0]][0]).main
    errors: list[str] = []

    def recorded(argv):
        try:
            return main(argv)
        except UserError as error:
            errors.append(" ".join(str(error).split()))
            raise

    code = 1
    try:
        code = run(recorded, command[1:])
    except BaseException as error:
        errors.append(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        raise
    finally:
        with contextlib.suppress(OSError):
            pipe.send({"peak_memory_mb": peak_memory_mb(), "error": errors[0] if errors else None})
        pipe.close()
    sys.exit(code)


def _end_with_parent() -> None:
    """Ends this process when the study that started it is gone, however that went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
