# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What changes during distillation besides the generator: the learner's trajectory and the synthetic pool."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..data.samplers import stable_seed
from ..errors import UserError
from ..models.learner import Learner
from ..models.sequence_format import SequenceFormat
from ..selection.k_centers import k_means_clusters


class LearnerTrajectory:
    """
    A learner trained on real data from a fresh head on, and its student (DDG, section 3).

    Trajectory t depends on (seed, t) alone. The student is an exponential moving average of the learner, updated
    after every learner update, or the learner itself.

    Args:
        learner ([`Learner`]): the classifier; its weights change.
        rows, labels: real training rows and label ids.
        args ([`DistillationConfig`]): learner and student settings.
    """

    def __init__(self, learner: Learner, rows: Sequence[tuple[str, ...]], labels: Sequence[int], args):
        self.learner, self.args = learner, args
        self.student = learner if args.student == "shared" else learner.clone()
        self.encoded = learner.encode(rows)
        self.labels_N = torch.tensor(labels)
        self.index: int | str | None = None
        self.position = 0
        self.optimizer: torch.optim.Optimizer | None = None

    def move_to(self, index: int | str, position: int) -> None:
        """Goes to inner step `position` of trajectory `index`, starting it if need be."""
        if self.index != index or self.position > position:
            self._start(index)
        while self.position < position:
            self._advance()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.learner.model.parameters(), lr=self.args.learner_learning_rate)

    def _start(self, index: int | str) -> None:
        self.index, self.position = index, 0
        self.learner.reset(self.args.seed, "trajectory", index)
        if self.student is not self.learner:
            self.student.model.load_state_dict(self.learner.model.state_dict())
            if self.args.student_head == "independent":
                self.student.reset_head(self.args.seed, "student", index)
        self.optimizer = self._new_optimizer()

    def _advance(self) -> None:
        for k in range(self.args.learner_steps):
            step = self.position * self.args.learner_steps + k
            self.learner.training_step(
                self.optimizer,
                self.encoded,
                self.labels_N,
                self.args.learner_batch_size,
                step,
                *(self.args.seed, "trajectory", self.index),
            )
            if self.student is not self.learner:
                self._update_student()
        self.position += 1

    @torch.no_grad()
    def _update_student(self) -> None:
        ours, theirs = list(self.student.model.parameters()), list(self.learner.model.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - self.args.ema_decay)

    def state_dict(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors (learner, student, optimizer) and a JSON-able rest."""
        tensors = {f"learner.{k}": v for k, v in self.learner.model.state_dict().items()}
        if self.student is not self.learner:
            tensors.update({f"student.{k}": v for k, v in self.student.model.state_dict().items()})
        if self.optimizer is not None:
            for i, entry in self.optimizer.state_dict()["state"].items():
                tensors.update({f"optimizer.{i}.{k}": v for k, v in entry.items()})
        return {k: v.detach().clone().contiguous() for k, v in tensors.items()}, {
            "index": self.index,
            "position": self.position,
        }

    def load_state_dict(self, tensors: dict[str, torch.Tensor], rest: dict) -> None:
        """The inverse of [`state_dict`]."""

        def part(name: str) -> dict[str, torch.Tensor]:
            return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}

        self.index, self.position = rest["index"], rest["position"]
        self.learner.model.load_state_dict(part("learner"))
        if self.student is not self.learner:
            self.student.model.load_state_dict(part("student"))
        self.optimizer = self._new_optimizer()
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in part("optimizer").items():
            i, name = key.split(".")
            state.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


class SyntheticPool:
    """
    Synthetic rows of every label, sampled from the generator every so often, in k-means clusters.

    A batch takes one row from each cluster, so it covers the pool (DiLM, section 3.3). Which rows is a function of
    (seed, round, step, label) alone.

    Args:
        format ([`SequenceFormat`]): reads targets back.
        args ([`DistillationConfig`]): sizes, seed.
        rows_per_class (`Sequence[int]`): clusters of each label, and so rows of a batch.
        sample (`Callable`): `(num_per_label, *seed_parts, labels=...) -> {label: targets}`.
        embed (`Callable`): embeds rows, `[N, H]`.
    """

    def __init__(self, format: SequenceFormat, args, rows_per_class: Sequence[int], sample: Callable, embed: Callable):
        self.format, self.args, self.sample, self.embed = format, args, sample, embed
        self.rows_per_class = rows_per_class
        self.round = -1
        self.malformed_rate = 0.0
        self.targets: dict[int, list[list[int]]] = {}
        self.rows: dict[int, list[tuple[str, ...]]] = {}
        self.clusters: dict[int, np.ndarray] = {}

    def refresh(self, round: int) -> None:
        """Samples the pool of generation round `round`. Raises `UserError` if too many texts are malformed."""
        size = self.args.pool_per_class
        good: dict[int, list[list[int]]] = {y: [] for y in range(self.format.num_labels)}
        drawn = malformed = 0
        examples: list[str] = []
        for attempt in range(self.args.max_sampling_rounds):
            wanting = [y for y, rows in good.items() if len(rows) < size]
            if not wanting:
                break
            batch = self.sample(size, self.args.seed, "round", round, attempt, labels=wanting)
            for label, targets in batch.items():
                drawn += len(targets)
                for target in targets:
                    if self.format.decode(target) is not None:
                        good[label].append(target)
                    else:
                        malformed += 1
                        examples.append(self.format.tokenizer.decode(self._full(target)))
        short = {self.format.label_names[y]: len(rows) for y, rows in good.items() if len(rows) < size}
        if short:
            raise UserError(
                f"the generator wrote {malformed} malformed texts of {drawn} (cut, empty or without separator), too "
                f"few good ones for {list(short)[:5]}; pretrain it longer or raise --max_length. "
                f"Such as: {examples[:3]}"
            )
        self._set(round, {label: rows[:size] for label, rows in good.items()}, malformed / drawn)

    def _full(self, target: list[int]) -> list[int]:
        return target if self.format.vocabulary is None else self.format.vocabulary.to_full(target)

    def _set(self, round: int, targets: dict[int, list[list[int]]], malformed_rate: float) -> None:
        self.round, self.targets, self.malformed_rate = round, targets, malformed_rate
        for label, rows in targets.items():
            self.rows[label] = [self.format.decode(row) for row in rows]
            self.clusters[label] = k_means_clusters(
                self.embed(self.rows[label]),
                self.rows_per_class[label],
                seed=stable_seed(self.args.seed, round, label) % 2**31,
            )

    def batch(self, step: int) -> dict[int, list[int]]:
        """Pool indices of the rows of update `step`: for each label one of each cluster."""
        result = {}
        for label, clusters in self.clusters.items():
            rng = np.random.default_rng(stable_seed(self.args.seed, "batch", self.round, step, label))
            result[label] = [int(rng.choice(np.flatnonzero(clusters == c))) for c in np.unique(clusters)]
        return result

    def state_dict(self) -> dict:
        """JSON-able state; clusters follow from the rows."""
        return {"round": self.round, "malformed_rate": self.malformed_rate, "targets": self.targets}

    def load_state_dict(self, state: dict) -> None:
        """The inverse of [`state_dict`]."""
        if state["round"] >= 0:
            self._set(state["round"], {int(k): v for k, v in state["targets"].items()}, state["malformed_rate"])
