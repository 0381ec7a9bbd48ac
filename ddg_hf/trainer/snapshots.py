# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Learner snapshots that stay the same during a run, at which evaluation measures the gradient cosine."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from ..data.samplers import stable_seed
from ..models.row_gradients import RowGradients
from .trajectory import LearnerTrajectory

logger = logging.getLogger(__name__)


class EvaluationSnapshots:
    """
    Learner and student along a trajectory that training never uses.

    Args:
        trajectory ([`LearnerTrajectory`]): moved along, and put back.
        number (`int`): how many snapshots ([`spread`]).
    """

    def __init__(self, trajectory: LearnerTrajectory, number: int):
        self.trajectory = trajectory
        self.positions = spread(number, trajectory.args.inner_steps)
        self._states: list[dict[str, dict[str, torch.Tensor]]] = []
        self._teachers: list[list[torch.Tensor] | None] = []
        self._references: dict[tuple[int, ...], dict[str, float]] = {}

    def _take(self, num_labels: int) -> None:
        trajectory = self.trajectory
        # Head gradients are small: they are kept in the learner's place.
        keep = trajectory.args.match_parameters == "head"
        for position in self.positions:
            trajectory.move_to("eval", position)
            models = {"student": trajectory.student.model}
            if not keep and trajectory.learner is not trajectory.student:
                models["learner"] = trajectory.learner.model
            self._states.append({n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in models.items()})
            self._teachers.append([trajectory.teacher_gradient(y) for y in range(num_labels)] if keep else None)

    def gradient_cosine(self, rows: Sequence[Sequence[tuple[str, ...]]]) -> float:
        """
        Mean over snapshots and labels of cos(teacher gradient, mean gradient of the rows).

        Args:
            rows: the rows of each label; none of them empty.
        """
        trajectory, cosines = self.trajectory, []
        student = trajectory.student
        encoded = student.encode([row for texts in rows for row in texts])
        labels = torch.tensor([y for y, texts in enumerate(rows) for _ in texts], device=student.device)
        with trajectory.elsewhere():
            if not self._states:
                self._take(len(rows))
            for position, states, teachers in zip(self.positions, self._states, self._teachers, strict=True):
                if "learner" in states:
                    trajectory.learner.model.load_state_dict(states["learner"])
                student.model.load_state_dict(states["student"])
                trajectory.place_at("eval", position)
                index = range(len(labels))
                source = RowGradients(student, encoded, index, labels, trajectory.args.match_parameters)
                for label in range(len(rows)):
                    teacher = trajectory.teacher_gradient(label) if teachers is None else teachers[label]
                    local = (labels == label).nonzero().flatten()
                    weights = torch.full((len(local),), 1 / len(local), device=student.device)
                    gradient = source.gradient(local, weights)
                    cosines.append(torch.cosine_similarity(gradient, teacher, dim=0).item())
        return sum(cosines) / len(cosines)

    def real_rows(
        self, rows: Sequence[tuple[str, ...]], labels: Sequence[int], numbers: Sequence[int]
    ) -> list[list[tuple[str, ...]]]:
        """Of each label so many of its rows, drawn at random: the same at every call. All, where there are fewer."""
        labels_N, chosen = np.asarray(labels), []
        for label, number in enumerate(numbers):
            rng = np.random.default_rng(stable_seed(self.trajectory.seed, "cosine", "real", label))
            order = rng.permutation(np.flatnonzero(labels_N == label))
            chosen.append([rows[i] for i in order[:number]])
        return chosen

    def references(
        self, rows: Sequence[tuple[str, ...]], labels: Sequence[int], numbers: Sequence[int]
    ) -> dict[str, float]:
        """
        What the cosine of generated texts is to be compared with.

        Args:
            rows, labels: the training rows and their label ids.
            numbers: how many rows of each label.

        Returns:
            [`gradient_cosine`] of [`real_rows`] (`real_gradient_cosine`: what a generator that writes like them would
            have) and of the same rows under other labels ([`exchanged`]; `exchanged_gradient_cosine`: where it is
            hardly lower, the students do not tell labels apart). The same at every call, and computed once.
        """
        key = tuple(numbers)
        if key not in self._references:
            real = self.real_rows(rows, labels, numbers)
            right, wrong = self.gradient_cosine(real), self.gradient_cosine(exchanged(real))
            if self.trajectory.processes.index == 0 and not tells_labels_apart(right, wrong):
                remedy = "raise --learner_steps"
                if self.trajectory.args.student == "ema":
                    remedy += " or lower --ema_decay"
                logger.warning(
                    "the students hardly tell the labels apart: real rows have a gradient cosine of %.4f, and of %.4f "
                    "under exchanged labels, so the matching cannot mend labels; %s",
                    right,
                    wrong,
                    remedy,
                )
            self._references[key] = {"real_gradient_cosine": right, "exchanged_gradient_cosine": wrong}
        return self._references[key]


def spread(number: int, inner_steps: int) -> list[int]:
    """The middles of `number` equal parts of the positions of a trajectory; all of them where there are fewer."""
    return sorted({(2 * i + 1) * inner_steps // (2 * number) for i in range(number)})


def exchanged(rows: Sequence[list]) -> list[list]:
    """For each label the rows of the one half of all labels further on: neighbours in their order may be alike."""
    half = len(rows) // 2
    return [*rows[half:], *rows[:half]]


def tells_labels_apart(real: float, wrong: float) -> bool:
    """Whether the gradient cosine of real rows falls clearly, by a tenth of itself or more, under other labels."""
    return wrong < 0.9 * real
