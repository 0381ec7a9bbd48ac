# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The learner along its training on real data, with its student and its teacher gradients."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn
from transformers import get_scheduler

from ..data.samplers import stable_seed
from ..errors import UserError
from ..models.learner import Learner
from ..models.row_gradients import RowGradients
from .processes import Processes

TeacherSets = list[list[np.ndarray]]


class LearnerTrajectory:
    """
    A learner trained on real data from a fresh head on, and its student (DDG, section 3).

    Trajectory t depends on (seed, t) alone. The student is an exponential moving average of the learner, updated
    after every learner update, or the learner itself.

    Args:
        learner ([`Learner`]): the classifier; its weights change.
        rows, labels: real training rows and label ids.
        teacher_sets: for each set and label the rows on which the real gradient is taken.
        args ([`DistillationConfig`]): learner and student settings.
        seed (`int`): seed of heads, batches, dropout and the order of the teacher sets.
        processes ([`Processes`]): who shares the rows of the teacher gradient; learner updates are replicated.
    """

    def __init__(
        self,
        learner: Learner,
        rows: Sequence[tuple[str, ...]],
        labels: Sequence[int],
        teacher_sets: TeacherSets,
        args,
        seed: int,
        processes: Processes,
    ):
        self.learner, self.args, self.seed, self.processes = learner, args, seed, processes
        self.student = learner if args.student == "shared" else learner.clone()
        self.encoded = learner.encode(rows)
        self.labels_N = torch.tensor(labels)
        self.teacher_sets = teacher_sets
        self.index: int | str | None = None
        self.position = 0
        self.optimizer: torch.optim.Optimizer | None = None
        self.scheduler = None
        self._teacher: RowGradients | None = None
        self._teacher_labels = self._teacher_weights = torch.empty(0)

    # ---- moving along ----

    def move_to(self, index: int | str, position: int) -> None:
        """Goes to inner step `position` of trajectory `index`, starting it if need be."""
        if self.index != index or self.position > position or self.optimizer is None:
            self._start(index)
        while self.position < position:
            self._advance()

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Inside, the trajectory may be moved at will; afterwards it stands where it stood."""
        models = [self.learner.model] if self.student is self.learner else [self.learner.model, self.student.model]
        weights = [{k: v.detach().clone() for k, v in model.state_dict().items()} for model in models]
        place = (self.index, self.position, self.optimizer, self.scheduler)
        self.index = None
        try:
            yield
        finally:
            for model, state in zip(models, weights, strict=True):
                model.load_state_dict(state)
            self.index, self.position, self.optimizer, self.scheduler = place
            self._teacher = None

    def place_at(self, index: int | str, position: int) -> None:
        """Takes the weights that were put into learner and student for those of this position."""
        self.index, self.position, self._teacher, self.optimizer = index, position, None, None

    def _new_optimizer(self) -> None:
        parameters = self.learner.model.parameters()
        self.optimizer = torch.optim.AdamW(parameters, lr=self.args.learner_learning_rate)
        total = self.args.inner_steps * self.args.learner_steps
        self.scheduler = get_scheduler(
            self.args.learner_lr_scheduler_type,
            self.optimizer,
            num_warmup_steps=round(self.args.learner_warmup_ratio * total),
            num_training_steps=total,
        )

    def _start(self, index: int | str) -> None:
        self.index, self.position, self._teacher = index, 0, None
        self.learner.reset(self.seed, "trajectory", index)
        if self.student is not self.learner:
            self.student.model.load_state_dict(self.learner.model.state_dict())
            if self.args.student_head == "independent":
                self.student.reset_head(self.seed, "student", index)
        self._new_optimizer()

    def _advance(self) -> None:
        for k in range(self.args.learner_steps):
            self.learner.training_step(
                self.optimizer,
                self.encoded,
                self.labels_N,
                self.args.learner_batch_size,
                self.position * self.args.learner_steps + k,
                *(self.seed, "trajectory", self.index),
            )
            self.scheduler.step()
            if self.student is not self.learner:
                self._update_student()
        # Kernels that are not deterministic would let the learners of the processes drift apart.
        models = {id(model): model for model in (self.learner.model, self.student.model)}
        self.processes.copy_from_main([p.detach() for model in models.values() for p in model.parameters()])
        self.position += 1
        self._teacher = None

    @torch.no_grad()
    def _update_student(self) -> None:
        ours, theirs = list(self.student.model.parameters()), list(self.learner.model.parameters())
        get_ema_multi_avg_fn(self.args.ema_decay)(ours, theirs, None)

    # ---- teacher ----

    def teacher_rows(self) -> list[tuple[int, int, float]]:
        """
        `(row, label, weight)` of the real rows at this position; the weights of a label sum to one.

        They are the next `teacher_accumulation` entries of a permutation of the teacher sets that the trajectory
        seeds; each set counts the same.
        """
        count, accumulation = len(self.teacher_sets), self.args.teacher_accumulation
        order = np.random.default_rng(stable_seed(self.seed, "teacher", self.index)).permutation(count)
        chosen = [self.teacher_sets[order[(self.position * accumulation + k) % count]] for k in range(accumulation)]
        return [
            (int(i), label, 1 / (len(rows) * accumulation))
            for sets in chosen
            for label, rows in enumerate(sets)
            for i in rows
        ]

    def teacher_gradient(self, label: int) -> torch.Tensor:
        """Mean gradient of a label's real rows at the learner, `[P]`; the processes share the rows."""
        if self._teacher is None:
            mine = self.processes.share(self.teacher_rows())
            index, labels, weights = zip(*mine, strict=True) if mine else ((), (), ())
            device = self.learner.device
            self._teacher_labels = torch.tensor(labels, dtype=torch.long, device=device)
            self._teacher_weights = torch.tensor(weights, device=device)
            self._teacher = RowGradients(
                self.learner, self.encoded, list(index), self._teacher_labels, self.args.match_parameters
            )
        local = (self._teacher_labels == label).nonzero().flatten()
        return self.processes.sum(self._teacher.gradient(local, self._teacher_weights[local]))

    # ---- state ----

    def state_dict(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors (learner, student, optimizer) and a JSON-able rest (position, scheduler)."""
        tensors = {f"learner.{k}": v for k, v in self.learner.model.state_dict().items()}
        if self.student is not self.learner:
            tensors.update({f"student.{k}": v for k, v in self.student.model.state_dict().items()})
        rest = {"index": self.index, "position": self.position, "scheduler": None}
        if self.optimizer is not None:
            for i, entry in self.optimizer.state_dict()["state"].items():
                tensors.update({f"optimizer.{i}.{k}": v for k, v in entry.items()})
            rest["scheduler"] = self.scheduler.state_dict()
        return {k: v.detach().clone().contiguous() for k, v in tensors.items()}, rest

    def load_state_dict(self, tensors: dict[str, torch.Tensor], rest: dict) -> None:
        """The inverse of [`state_dict`]. Raises `UserError` if the run followed stored trajectories."""
        if "stored" in rest:
            raise UserError("the checkpoint is of a run with stored trajectories; pass its --num_trajectories")
        self.index, self.position, self._teacher = rest["index"], rest["position"], None
        self.learner.model.load_state_dict(part(tensors, "learner"))
        if self.student is not self.learner:
            self.student.model.load_state_dict(part(tensors, "student"))
        self._new_optimizer()
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in part(tensors, "optimizer").items():
            i, name = key.split(".")
            state.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        if rest["scheduler"] is not None:
            self.scheduler.load_state_dict(rest["scheduler"])
            for group, rate in zip(self.optimizer.param_groups, self.scheduler.get_last_lr(), strict=True):
                group["lr"] = rate


def part(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The tensors whose key starts with `name.`, without it."""
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(name + ".")}
