# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Runs the cells of a study, each in a process of its own, and remembers which are done."""

import contextlib
import importlib
import json
import multiprocessing
import os
import shlex
import shutil
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
from ..provenance import METADATA_FILE, peak_memory_mb, redact, write_json
from ..terminal import warn
from .plan import Cell, fingerprints

DONE, FAILED, WAITING, RUNNING, ELSEWHERE = "done", "failed", "waiting", "running", "elsewhere"
NOTE_SECONDS = 30.0
"""How often the time that a cell has taken is recorded while it runs."""
POLL_SECONDS = 2.0
"""How often a study looks whether another one has finished a cell that it waits for."""


@dataclass
class CellState:
    """
    How far a cell is.

    Attributes:
        state: `done`, `failed`, `waiting`, `running`, or `elsewhere` (another process of the study runs it).
        seconds: How long it took, with the attempts that were stopped.
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
    slot: int
    before: float
    start: float = field(default_factory=time.monotonic)
    noted: float = 0.0

    @property
    def seconds(self) -> float:
        return round(self.before + time.monotonic() - self.start, 1)


class StudyDirectory:
    """
    Where the cells of a study are: outputs in `cells/`, records in `state/`, what they print in `logs/`.

    A record says with which settings the output was made. It is written before a command starts, when an output that
    was made with others has been removed: an output with `metadata.json`, which is written last, is whole.

    Args:
        path: The directory.
        cells: The plan.
    """

    def __init__(self, path: Path, cells: Sequence[Cell]):
        self.path, self.cells = path, list(cells)
        self.fingerprints = fingerprints(cells)

    def output(self, name: str) -> Path:
        """Where a cell writes."""
        return self.path / "cells" / name

    def log(self, name: str) -> Path:
        """Where what a cell prints goes."""
        return self.path / "logs" / f"{name}.txt"

    def lock(self, name: str) -> FileLock:
        """What a process holds while it runs a cell; not waited for."""
        path = self.path / "state" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path, timeout=0)

    def command(self, cell: Cell, covers: Sequence[int] = ()) -> list[str]:
        """The command line of a cell behind `ddg-hf`; `covers` as in [`Cell.arguments`]."""
        return [cell.stage, *cell.arguments(self.output, covers)]

    def record(self, cell: Cell) -> dict[str, Any]:
        """What is recorded of a cell; empty if nothing readable is."""
        try:
            content = json.loads(self._record(cell).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _record(self, cell: Cell) -> Path:
        return self.path / "state" / f"{cell.name}.json"

    def changed(self) -> list[Cell]:
        """Cells with an output that was made, wholly or in part, with other settings than those of the plan."""
        return [cell for cell in self.cells if self.output(cell.name).exists() and not self._is_ours(cell)]

    def _is_ours(self, cell: Cell) -> bool:
        return self.record(cell).get("fingerprint") == self.fingerprints[cell.name]

    def begin(self, cell: Cell) -> tuple[list[str], float]:
        """
        Makes room for a cell, whose lock is held, and records with which settings it is run. An output that was made
        with other settings is deleted, and one that lacks some numbers of demonstrations per class, which is made
        again with all of them.

        Returns:
            The command, and the seconds that attempts with the same settings have taken.

        Raises:
            UserError: an output cannot be deleted.
        """
        record, ours = self.record(cell), self._is_ours(cell)
        covers = record.get("covers", []) if ours else []
        whole = (self.output(cell.name) / METADATA_FILE).is_file()
        anew = not ours or (whole and not set(cell.covers) <= set(covers))
        if anew:
            _remove(self.output(cell.name))
        seconds = 0.0 if anew else float(record.get("seconds") or 0.0)
        self._write(cell, CellState(WAITING, seconds or None), covers)
        return self.command(cell, covers), seconds

    def note(self, cell: Cell, state: CellState) -> None:
        """Records how far a cell is."""
        self._write(cell, state, self.record(cell).get("covers", []))

    def _write(self, cell: Cell, state: CellState, covers: Sequence[int]) -> None:
        content = {"fingerprint": self.fingerprints[cell.name], "covers": sorted({*cell.covers, *covers})}
        content |= vars(state) | {"command": "ddg-hf " + shlex.join(redact(self.command(cell, covers)))}
        write_json(self._record(cell), content)

    def state(self, cell: Cell) -> CellState:
        """What is on disk."""
        record = self.record(cell)
        if not self._is_ours(cell):
            return CellState()
        known = {name: record.get(name) for name in ("seconds", "peak_memory_mb", "error")}
        if (self.output(cell.name) / METADATA_FILE).is_file() and set(cell.covers) <= set(record.get("covers", [])):
            return CellState(DONE, **known | {"error": None})
        return CellState(FAILED if record.get("state") == FAILED else WAITING, **known)


def _remove(output: Path) -> None:
    """Deletes an output, or the link to one. What is left of it if that fails does not count as whole."""
    try:
        if output.is_symlink():
            output.unlink()
        elif output.exists():
            (output / METADATA_FILE).unlink(missing_ok=True)
            shutil.rmtree(output)
    except OSError as error:
        raise UserError(f"cannot delete '{output}', which is to be made anew: {error.strerror or error}") from error


class StudyRunner:
    """
    Runs what is not done, every cell after those that it needs. A cell that fails does not stop the others.

    Several runners of one study, on one machine or on several with a shared file system, divide the cells among them.

    Args:
        directory: Where the cells are.
        num_workers: Cells that run at the same time; the processor cores are divided among them, and each has a GPU of
            its own, if there are so many.
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
                while len(running) < self.num_workers:
                    slots = set(range(self.num_workers)) - {one.slot for one in running}
                    started = self._start_next(context, min(slots))
                    if started is None:
                        break
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
                self.states[one.cell.name] = CellState(WAITING, one.seconds)
                self.directory.note(one.cell, self.states[one.cell.name])
                one.lock.release()

    def _start_next(self, context, slot: int) -> _Running | None:
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
            # By another process in the meantime; what has failed there is not tried by all of them.
            if found.state == DONE or (found.state == FAILED and state.state == ELSEWHERE):
                lock.release()
                self._set(cell, found)
                continue
            try:
                return self._start(cell, lock, slot, context)
            except UserError as error:  # the others are not to end with it
                lock.release()
                self._set(cell, CellState(FAILED, error=str(error)))
        return None

    def _is_ready(self, cell: Cell) -> bool:
        return all(self.states[name].state == DONE for name in cell.needs)

    def _start(self, cell: Cell, lock: FileLock, slot: int, context) -> _Running:
        command, before = self.directory.begin(cell)
        ours, theirs = context.Pipe(duplex=False)
        log = self.directory.log(cell.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        place = (slot, self.num_workers)
        process = context.Process(target=run_cell, args=(command, str(log), place, theirs), name=cell.name)
        self._set(cell, CellState(RUNNING, before or None))
        process.start()
        theirs.close()
        return _Running(cell, process, ours, lock, slot, before)

    def _collect(self, running: list[_Running]) -> list[_Running]:
        """Waits until a process ends, and records what became of its cell. Returns those that still run."""
        ended = wait([one.process.sentinel for one in running], timeout=POLL_SECONDS)
        left = []
        for one in running:
            if one.process.sentinel in ended:
                one.process.join()
                state = self._outcome(one)
                self.directory.note(one.cell, state)
                one.lock.release()
                self._set(one.cell, state)
                continue
            left.append(one)
            if one.seconds - one.noted > NOTE_SECONDS:  # what a kill is not to take away
                one.noted = one.seconds
                self.directory.note(one.cell, CellState(WAITING, one.seconds))
        return left

    def _outcome(self, one: _Running) -> CellState:
        report: dict[str, Any] = {}
        with contextlib.suppress(EOFError, OSError):
            if one.pipe.poll():
                report = one.pipe.recv()
        one.pipe.close()
        memory = report.get("peak_memory_mb")
        reason = report.get("error") or f"exit code {one.process.exitcode}"
        reason = f"{reason} (see {self.directory.log(one.cell.name)})"
        if not (self.directory.output(one.cell.name) / METADATA_FILE).is_file():
            return CellState(FAILED, one.seconds, memory, reason)
        if one.process.exitcode != 0:  # such as sets whose checks have failed
            warn(f"{one.cell.name} is done, but ended with an error: {reason}")
        return CellState(DONE, one.seconds, memory)

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


def run_cell(command: list[str], log: str, place: tuple[int, int], pipe: Connection) -> None:
    """
    Runs one command in this process, which ends with its exit code.

    Args:
        command: The command and its options.
        log: File that what it prints is added to.
        place: Which of how many workers this is.
        pipe: Where the peak of memory and the error, if there is one, are sent to.
    """
    _end_with_parent()
    # Another process group's settings are none of this command's business.
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
    file = open(log, "a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = file
    print(f"$ ddg-hf {shlex.join(redact(command))}", flush=True)
    _take_share(*place)

    from ..cli import COMMANDS, run

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


def _take_share(slot: int, num_workers: int) -> None:
    """Limits this process to its share of the cores, and to one GPU if there are several workers."""
    import torch
    from threadpoolctl import threadpool_limits

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = min(torch.get_num_threads(), max(1, cores // num_workers))
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    if num_workers > 1 and torch.cuda.device_count():
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = given.split(",") if given else [str(i) for i in range(torch.cuda.device_count())]
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]


def _end_with_parent() -> None:
    """Ends this process when the study that started it is gone, however that went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
