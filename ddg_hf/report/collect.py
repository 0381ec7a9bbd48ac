# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What is in a directory: a study, finished runs, and directories of distilled sets."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..data.rows import set_fingerprint
from ..errors import UserError
from ..evaluation.results import RESULTS_FILE
from ..formats.directory import CONFIG, DistilledDirectory, open_distilled
from ..provenance import METADATA_FILE, read_json
from ..quality import CHECKS_FILE, is_current
from ..trainer.runs import STATE_FILE
from .study import STUDY_FILE, Study, read_study
from .values import mapping, mappings, text

TRAINING = ("pretrain", "distill")
EVALUATIONS = ("evaluate-icl", "evaluate-learner")


@dataclass(frozen=True)
class Run:
    """
    A directory that holds a finished run, or distilled sets without a record.

    Attributes:
        name: Its path from the directory that is reported on, with slashes; that directory's own name for itself.
        path: The directory.
        metadata: Content of `metadata.json`, empty if there is none.
        has_sets: Whether there are distilled sets in it.
    """

    name: str
    path: Path
    metadata: dict[str, Any] = field(default_factory=dict)
    has_sets: bool = False

    @property
    def stage(self) -> str:
        """Which command made it, empty if that is not known."""
        return text(self.metadata.get("stage"))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that are recorded."""
        return dict(mapping(self.metadata.get("arguments")))

    @cached_property
    def results(self) -> dict[str, Any]:
        """Content of `results.json` of an evaluation."""
        return read_object(self.path / RESULTS_FILE)

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """What a training run logged, empty if it left no state."""
        file = self.path / STATE_FILE
        return [dict(entry) for entry in mappings(read_object(file).get("log_history"))] if file.is_file() else []

    @cached_property
    def sets(self) -> DistilledDirectory:
        """The distilled sets."""
        return open_distilled(self.path)

    @cached_property
    def set_fingerprints(self) -> dict[str, dict[str, str]]:
        """Fingerprints of the distilled sets as evaluations record them, by configuration and number of the set."""
        return {
            config: {str(n): set_fingerprint((row.texts, row.label) for row in rows) for n, rows in found.items()}
            for config in self.sets.configs
            for found in [self.sets.sets(config)]
        }

    @cached_property
    def checks(self) -> dict[str, Any] | None:
        """What the checks found in these very sets, or None if they were not run, or on other rows."""
        file = self.path / CHECKS_FILE
        if not file.is_file():
            return None
        checks = read_object(file)
        return checks if is_current(checks, self.sets) and mapping(checks.get("checks")) else None


@dataclass(frozen=True)
class Contents:
    """What a report is made of: the directory, the runs in it by their names, and the study if it is one."""

    source: Path
    runs: list[Run]
    study: Study | None = None

    @property
    def name(self) -> str:
        """What the page calls it."""
        return self.study.name if self.study else self.source.resolve().name

    def of_stages(self, *stages: str) -> list[Run]:
        """The runs of some stages."""
        return [run for run in self.runs if run.stage in stages]

    @property
    def with_sets(self) -> list[Run]:
        """The directories of distilled sets."""
        return [run for run in self.runs if run.has_sets]


def collect(source: str | os.PathLike) -> Contents:
    """
    Finds what there is to report in a directory and below; if a study is in it, only what is in the study. Hidden
    directories, checkpoints and symbolic links are not looked into.

    Raises:
        UserError: no directory, nothing in it to report, a file that cannot be read, or several studies.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise UserError(f"there is no directory '{source}' to report on")
    if not path.is_dir():
        raise UserError(f"'{source}' is a file; give the directory of a study or a run")
    runs, studies = [], []
    for folder, names, files in os.walk(path, onerror=_cannot_read):
        configs = {name for name in names if _is_configuration(Path(folder, name))}
        has_sets = bool(configs)
        names[:] = sorted(n for n in names if n not in configs and not n.startswith((".", "checkpoint-")))
        here = Path(folder)
        if STUDY_FILE in files:
            studies.append(here)
        if METADATA_FILE in files or has_sets:
            metadata = read_object(here / METADATA_FILE) if METADATA_FILE in files else {}
            runs.append(Run(_name(here, path), here, metadata, has_sets))
    root = _only_study(studies, path)
    study = None
    if root is not None:
        study = read_study(root)
        cells = root / "cells"
        # What lies beside the study, or was run for methods or with settings that it no longer has, is not measured
        # by it.
        named = {run.path: _name(run.path, cells) for run in runs if root in run.path.parents}
        planned = {cell.name for cell in study.cells if cell.state == "done"}
        runs = [
            Run(named[run.path], run.path, run.metadata, run.has_sets)
            for run in runs
            if named.get(run.path) in planned
        ]
    contents = Contents(path, runs, study)
    if study is None and not any(run.has_sets or run.stage in (*TRAINING, *EVALUATIONS) for run in runs):
        raise UserError(
            f"nothing in '{source}' to report: no study, no finished run of `pretrain`, `distill`, `generate`, "
            "`evaluate-icl` or `evaluate-learner`, and no distilled sets"
        )
    return contents


def _is_configuration(path: Path) -> bool:
    """Whether a directory is a part of distilled sets; a run may have such a name, too."""
    return CONFIG.fullmatch(path.name) is not None and (path / "train.parquet").is_file()


def _cannot_read(error: OSError) -> None:
    raise UserError(f"cannot read '{error.filename}': {error.strerror or error}") from error


def _name(path: Path, root: Path) -> str:
    if path.resolve() == root.resolve():
        return root.resolve().name
    return Path(os.path.relpath(path, root)).as_posix()


def _only_study(studies: list[Path], source: Path) -> Path | None:
    """The study that the report is about: the directory itself, or the only one below it."""
    if source in studies:
        return source
    if len(studies) > 1:
        found = ", ".join(f"'{study}'" for study in studies[:4])
        raise UserError(f"'{source}' holds {len(studies)} studies; give one of them: {found}")
    return studies[0] if studies else None


def read_object(file: Path) -> dict[str, Any]:
    """Returns the content of a JSON file. Raises `UserError` if it cannot be read or is no object."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise UserError(f"'{file}' does not hold a JSON object")
    return content
