# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Learner trajectories on disk.

Trajectories see real data only, so nothing in them depends on the generator: they are computed once and serve all
outer steps of a run, and other runs.

    <trajectory_dir>/settings.json
    <trajectory_dir>/trajectory_00003/position_07.safetensors     student.*, teacher [K, P] (or learner.*)
"""

import json
import logging
import shutil
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import UserError
from ..provenance import atomic_directory, write_json
from ..terminal import Progress
from .processes import Processes
from .trajectory import LearnerTrajectory, part

SETTINGS_FILE = "settings.json"
# What a trajectory depends on, besides data, learner and seed.
DEPENDS_ON = (
    "inner_steps learner_steps learner_batch_size learner_learning_rate learner_lr_scheduler_type "
    "learner_warmup_ratio student ema_decay student_head match_parameters teacher_sets real_per_class "
    "teacher_accumulation"
).split()

logger = logging.getLogger(__name__)


def stored_seed(directory: Path, default: int) -> int:
    """The seed of the trajectories in `directory`; `default` where there are none yet."""
    path = directory / SETTINGS_FILE
    return int(_read_settings(path)["seed"]) if path.is_file() else default


def _read_settings(path: Path) -> dict:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return {**settings, "seed": int(settings["seed"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{path}' is damaged; delete '{path.parent}' or name another --trajectory_dir") from error


class StoredTrajectories:
    """
    `num_trajectories` trajectories, computed where they are missing and read from disk afterwards.

    Has the reading half of [`LearnerTrajectory`]'s interface: `move_to`, `student`, `teacher_gradient`. With
    `match_parameters="head"` the teacher gradients of all labels are stored beside each student; a gradient of all
    parameters is as large as the learner, so with `all` the learner is stored in its place.

    Args:
        trajectory ([`LearnerTrajectory`]): computes them; its learner and student are what is loaded into.
        directory (`Path`): where they lie.
        number (`int`): how many.
        fingerprint (`str`): of the training data and the learner.
        processes ([`Processes`]): who shares the trajectories.

    Raises:
        UserError: the directory holds trajectories of other data, another learner or other settings, or the free
            disk is too small.
    """

    def __init__(
        self, trajectory: LearnerTrajectory, directory: Path, number: int, fingerprint: str, processes: Processes
    ):
        self.trajectory, self.directory, self.number, self.processes = trajectory, directory, number, processes
        self.index: int | str | None = None
        self.position = 0
        self._teacher_KP: torch.Tensor | None = None
        self._check_settings(fingerprint)

    @property
    def student(self):
        return self.trajectory.student

    @property
    def learner(self):
        return self.trajectory.learner

    # ---- computing ----

    def _check_settings(self, fingerprint: str) -> None:
        args = self.trajectory.args
        self.settings = {name: getattr(args, name) for name in DEPENDS_ON}
        self.settings |= {"seed": self.trajectory.seed, "fingerprint": fingerprint}
        path = self.directory / SETTINGS_FILE
        theirs = self.processes.from_main(_read_settings(path) if path.is_file() else None)
        if theirs is None:
            if self.processes.index == 0:
                write_json(path, self.settings)
            self.processes.wait()
        else:
            self._compare(theirs)
        if not self.directory.is_dir():
            raise UserError(f"--trajectory_dir '{self.directory}' must be on a disk that all machines share")

    def _compare(self, theirs: dict) -> None:
        """Raises `UserError` unless other trajectories are those that this run would compute."""
        if theirs.get("fingerprint") != self.settings["fingerprint"]:
            raise UserError(
                f"the trajectories in '{self.directory}' are of other training data or another learner; "
                "name another --trajectory_dir"
            )
        different = [f"{k} {theirs.get(k)} there, {v} here" for k, v in self.settings.items() if theirs.get(k) != v]
        if different:
            raise UserError(
                f"the trajectories in '{self.directory}' have other settings ({', '.join(different)}); "
                "use the same or name another --trajectory_dir"
            )

    def _path(self, index: int) -> Path:
        return self.directory / f"trajectory_{index:05d}"

    def bytes_per_trajectory(self) -> int:
        """Bytes on disk of one trajectory."""
        args, learner = self.trajectory.args, self.learner
        weights = sum(v.numel() * v.element_size() for v in learner.model.state_dict().values())
        stored = 0 if args.student == "shared" and args.match_parameters == "all" else weights
        if args.match_parameters == "all":
            return (stored + weights) * args.inner_steps
        head = sum(p.numel() * p.element_size() for p in learner.head_parameters().values())
        return (stored + self._num_labels * head) * args.inner_steps

    @property
    def _num_labels(self) -> int:
        return len(self.trajectory.teacher_sets[0])

    def compute(self, show_progress: bool = True) -> None:
        """Computes the trajectories that are missing; the processes share them, other runs wait meanwhile."""
        lock = FileLock(self.directory / ".lock")
        if self.processes.index == 0:
            lock.acquire()
        try:
            missing = self.processes.from_main([t for t in range(self.number) if not self._path(t).is_dir()])
            if missing:
                self._make_room(len(missing))
                self._compute(missing, show_progress)
        finally:
            lock.release()

    def _make_room(self, number: int) -> None:
        """Removes what a killed run has left, says how large `number` trajectories are, and that they fit."""
        size, free = self.bytes_per_trajectory(), None
        if self.processes.index == 0:
            for leftover in self.directory.glob(".trajectory_*"):
                shutil.rmtree(leftover)
            free = shutil.disk_usage(self.directory).free
            logger.warning(
                "storing %d learner trajectories in '%s': %.2f GB each, %.2f GB together, %.2f GB of disk are free",
                *(number, self.directory, size / 1e9, number * size / 1e9, free / 1e9),
            )
        free = self.processes.from_main(free)
        if number * size > free:
            raise UserError(
                f"{number} trajectories of {size / 1e9:.2f} GB need {number * size / 1e9:.2f} GB, but only "
                f"{free / 1e9:.2f} GB are free in '{self.directory}'; lower --num_trajectories or give another "
                "--trajectory_dir"
            )

    def _compute(self, missing: list[int], show_progress: bool) -> None:
        # Each is one process's own work: nothing is summed over processes or copied between them on the way.
        trajectory, everyone = self.trajectory, self.trajectory.processes
        trajectory.processes = Processes()
        share = self.processes.share(missing)
        try:
            with Progress("learner trajectories", len(share), "trajectory", shown=show_progress) as bar:
                for index in share:
                    self._compute_one(index)
                    bar.update()
        finally:
            trajectory.processes = everyone
        self.processes.wait()
        if lost := [t for t in range(self.number) if not self._path(t).is_dir()]:
            raise UserError(
                f"trajectory {lost[0]} is not in '{self.directory}' after its computation; --trajectory_dir must be "
                "on a disk that all machines share"
            )

    def _compute_one(self, index: int) -> None:
        with atomic_directory(self._path(index)) as directory:
            for position in range(self.trajectory.args.inner_steps):
                self.trajectory.move_to(index, position)
                save_file(self._snapshot(), directory / f"position_{position:02d}.safetensors")

    def _snapshot(self) -> dict[str, torch.Tensor]:
        args, trajectory = self.trajectory.args, self.trajectory
        tensors = {f"student.{k}": v.contiguous() for k, v in trajectory.student.model.state_dict().items()}
        if args.match_parameters == "head":
            tensors["teacher"] = torch.stack([trajectory.teacher_gradient(y) for y in range(self._num_labels)])
        elif args.student == "ema":
            tensors.update({f"learner.{k}": v.contiguous() for k, v in trajectory.learner.model.state_dict().items()})
        return tensors

    # ---- reading ----

    def move_to(self, index: int, position: int) -> None:
        """Loads inner step `position` of trajectory `index` modulo `num_trajectories`."""
        index = index % self.number
        if (self.index, self.position) == (index, position):
            return
        path = self._path(index) / f"position_{position:02d}.safetensors"
        trajectory = self.trajectory
        try:
            tensors = load_file(path)
            trajectory.student.model.load_state_dict(part(tensors, "student"))
            if "teacher" not in tensors and trajectory.student is not trajectory.learner:
                trajectory.learner.model.load_state_dict(part(tensors, "learner"))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise UserError(
                f"cannot read '{path}' ({' '.join(str(error).split())[:200]}); delete '{path.parent}', it is "
                "computed again"
            ) from error
        self._teacher_KP = tensors["teacher"].to(self.learner.device) if "teacher" in tensors else None
        trajectory.place_at(index, position)
        self.index, self.position = index, position

    def teacher_gradient(self, label: int) -> torch.Tensor:
        """Mean gradient of a label's real rows at the learner, `[P]`."""
        return self.trajectory.teacher_gradient(label) if self._teacher_KP is None else self._teacher_KP[label]

    # ---- state ----

    def state_dict(self) -> tuple[dict[str, torch.Tensor], dict]:
        """No tensors; which trajectories these are. Every step says where it is, and reads the weights from there."""
        return {}, {"stored": self.settings}

    def load_state_dict(self, tensors: dict[str, torch.Tensor], rest: dict) -> None:
        """Raises `UserError` if the run followed other trajectories."""
        if "stored" not in rest:
            raise UserError("the checkpoint is of a run without stored trajectories; drop --num_trajectories")
        self._compare(rest["stored"])
        self.index = None
