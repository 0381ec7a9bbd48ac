# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distillation of a generator by gradient matching."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset, SequentialSampler

from ..data.samplers import stable_seed
from ..errors import UserError
from ..evaluation.label_control import LabelProbe
from ..losses.gradient_matching import (
    directional_derivatives,
    effective_sample_size,
    head_gradient,
    matching_loss,
    surrogate_coefficients,
    synthetic_weights,
)
from ..models.encoder import TextEncoder
from ..models.generator import Generator
from ..models.learner import Learner
from ..models.sequence_format import EncodedText
from ..provenance import write_json
from ..selection.teacher_sets import build_teacher_sets
from .distillation_config import DistillationConfig
from .distillation_state import LearnerTrajectory, SyntheticPool
from .generator_trainer import GeneratorTrainer

STATE_TENSORS = "distillation_state.safetensors"
STATE_JSON = "distillation_state.json"


class Steps(Dataset):
    """Counts micro-steps; the data of a step is a function of its number."""

    def __init__(self, length: int):
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        return index


@dataclass
class _Update:
    """What one generator update needs: this process's rows, their micro-batches and coefficients."""

    samples: list[EncodedText]
    micro_batches: list[list[int]]
    coefficients_B: torch.Tensor
    loss: torch.Tensor
    # NLL with its graph, where that fits in memory
    nll_B: torch.Tensor | None
    seconds_generator: float


class DistillationTrainer(GeneratorTrainer):
    """
    Updates a pretrained generator so that the gradients of its texts match those of real ones (DDG, section 3).

    Each step: the teacher gradient of every label is taken on a K-centers coreset at the learner; the gradient of
    weighted synthetic rows at the student; 1 - cosine is the loss. The generator sees it as a weighted language-model
    loss ([`~ddg_hf.losses.gradient_matching`]). Between steps the learner trains on real data. What is logged as
    `loss` is the matching loss, not the surrogate.

    Args:
        generator ([`Generator`]): pretrained generator.
        learner ([`Learner`]): classifier with a linear or RoBERTa-type head.
        encoder ([`TextEncoder`]): embeds rows, for teacher sets and clusters.
        args ([`DistillationConfig`]): the configuration.
        train_rows, train_labels: real training rows and label ids.
        eval_rows, eval_labels (*optional*): held-out rows.
        probe ([`LabelProbe`], *optional*): measures label consistency.
    """

    def __init__(
        self,
        generator: Generator,
        learner: Learner,
        encoder: TextEncoder,
        args: DistillationConfig,
        train_rows: Sequence[tuple[str, ...]],
        train_labels: Sequence[int],
        eval_rows: Sequence[tuple[str, ...]] = (),
        eval_labels: Sequence[int] = (),
        probe: LabelProbe | None = None,
        **kwargs,
    ):
        steps = Steps(args.max_steps * args.gradient_accumulation_steps * args.world_size)
        super().__init__(
            generator,
            args,
            steps,
            eval_rows,
            eval_labels,
            probe,
            data_collator=lambda items: {"step": items},
            **kwargs,
        )
        self.num_labels = generator.format.num_labels
        if learner.model.dtype != torch.float32:
            raise UserError("the student's moving average needs a float32 learner; drop --learner_dtype")
        # At most half of a class, as for the real rows.
        counts = np.bincount(train_labels, minlength=self.num_labels)
        synthetic_per_class = [max(2, min(args.synthetic_per_class, int(count) // 2)) for count in counts]
        self.encoder = encoder
        self.trajectory = LearnerTrajectory(learner, train_rows, train_labels, args)
        self.teacher_sets = build_teacher_sets(
            encoder.embed(train_rows), train_labels, self.num_labels, args.teacher_sets, args.real_per_class, args.seed
        )
        self.pool = SyntheticPool(generator.format, args, synthetic_per_class, self.sample_targets, encoder.embed)
        self._update: _Update | None = None
        self._micro_step = 0
        self._snapshots: list[tuple[dict, list[torch.Tensor]]] | None = None

    def _get_train_sampler(self, train_dataset=None):
        return SequentialSampler(train_dataset or self.train_dataset)

    # ---- one update ----

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        self.restore_accumulators()
        # Dropout off: the weights and the backward pass must belong to the same function.
        model.eval()
        accumulation = self.args.gradient_accumulation_steps
        if self._micro_step == 0:
            self._update = self._prepare_update(model)
        start = time.time()
        self._backward_share(model, self._update, self._micro_step, accumulation)
        self._update.seconds_generator += time.time() - start
        self._micro_step = (self._micro_step + 1) % accumulation
        if self._micro_step == 0:
            self.note(seconds_generator=self._update.seconds_generator)
        return self._update.loss / accumulation

    def _prepare_update(self, model) -> _Update:
        """Moves learner and pool to this step, and computes the loss and the coefficients."""
        step = self.state.global_step
        outer, inner = divmod(step, self.args.inner_steps)
        round = outer // self.args.generate_interval
        start = time.time()
        if self.pool.round != round:
            self.pool.refresh(round)
            self._measure_pool()
        generated = time.time()
        self.trajectory.move_to(outer, inner)
        learned = time.time()
        self.note(seconds_generate=generated - start, seconds_learner=learned - generated)

        batch = self.pool.batch(step)
        joint = [(label, i) for label, rows in batch.items() for i in rows]
        mine = list(range(self.args.process_index, len(joint), self.args.world_size))
        samples = [EncodedText(self.generator.format.prefix(y), self.pool.targets[y][i]) for y, i in joint]
        local = [samples[i] for i in mine]
        micro_batches = self._split([len(s) for s in local])
        nll_B, graph = self._local_nll(model, local, micro_batches)
        joint_nll = self._sum_over_processes(self._scatter(nll_B.detach(), mine, len(joint)))
        self.check_finite(joint_nll, "generator loss")
        nll_seconds = time.time() - learned

        start = time.time()
        labels = torch.tensor([y for y, _ in joint], device=self.args.device)
        rows = [self.pool.rows[y][i] for y, i in joint]
        loss, coefficients = self._match(rows, labels, joint_nll, mine, outer, inner)
        self.check_finite(loss, "matching loss")
        self.note(seconds_match=time.time() - start)
        return _Update(local, micro_batches, coefficients[mine], loss, graph, nll_seconds)

    def _split(self, lengths: Sequence[int]) -> list[list[int]]:
        """Length-sorted micro-batches, at least one for each accumulation step."""
        if not lengths:
            raise UserError("there are more processes than synthetic rows; start fewer or raise --synthetic_per_class")
        micro_batches = self.micro_batches(lengths)
        while len(micro_batches) < self.args.gradient_accumulation_steps:
            largest = max(range(len(micro_batches)), key=lambda i: len(micro_batches[i]))
            rows = micro_batches[largest]
            if len(rows) < 2:
                raise UserError(
                    f"--gradient_accumulation_steps {self.args.gradient_accumulation_steps} is more than the "
                    f"{len(lengths)} synthetic rows of a process; lower it"
                )
            micro_batches[largest : largest + 1] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
        return micro_batches

    def _forward(self, model, samples: Sequence[EncodedText]) -> torch.Tensor:
        batch = {key: value.to(self.args.device) for key, value in self.generator.collate(samples).items()}
        return model(**batch)["nll"].float()

    def _local_nll(self, model, samples, micro_batches) -> tuple[torch.Tensor, torch.Tensor | None]:
        """NLL of this process's rows, and the same with its graph where the graph may be held in memory."""
        tokens = sum(len(rows) * len(samples[rows[0]]) for rows in micro_batches)
        keep_graph = self.args.gradient_accumulation_steps == 1 and tokens <= self.args.max_graph_tokens
        order = [i for rows in micro_batches for i in rows]
        pieces = []
        with torch.set_grad_enabled(keep_graph):
            for k, rows in enumerate(micro_batches):
                with self.sync_context(model, last=k == len(micro_batches) - 1):
                    pieces.append(self._forward(model, [samples[i] for i in rows]))
        back = torch.argsort(torch.tensor(order, device=self.args.device))
        nll_B = torch.cat(pieces)[back]
        return nll_B, nll_B if keep_graph else None

    def _backward_share(self, model, update: _Update, share: int, shares: int) -> None:
        """Backward pass of one accumulation step's part of the surrogate sum_i c_i nll_i."""
        # DDP averages over the processes, the surrogate is a sum over their rows.
        coefficients = update.coefficients_B * self.args.world_size
        if update.nll_B is not None:
            self.backward((coefficients * update.nll_B).sum())
            update.nll_B = None
            return
        mine = update.micro_batches[share::shares]
        for k, rows in enumerate(mine):
            with self.sync_context(model, last=k == len(mine) - 1):
                nll = self._forward(model, [update.samples[i] for i in rows])
                self.backward((coefficients[rows] * nll).sum())

    # ---- matching ----

    def _match(self, rows, labels_J, nll_J, mine, outer: int, inner: int):
        """
        Matching loss and coefficients of the joint batch of all processes.

        Args:
            rows: the texts of the J synthetic rows of the joint batch.
            labels_J, nll_J: their labels and generator losses.
            mine: positions of this process's rows.
            outer, inner: where on which trajectory.

        Returns:
            `(loss, coefficients_J)`; the coefficients of other processes' rows are zero.
        """
        student = self.trajectory.student
        teacher = self._teacher_gradients(self._teacher_rows(outer, inner))
        mine_T = torch.tensor(mine, device=labels_J.device)
        features = student.features(student.encode([rows[i] for i in mine]), range(len(mine))) if mine else None
        coefficients = torch.zeros_like(nll_J)
        losses, sizes, cosines = [], [], {}
        for label in range(self.num_labels):
            weights_J = torch.zeros_like(nll_J)
            of_label = labels_J == label
            weights_J[of_label] = synthetic_weights(nll_J[of_label], self.args.temperature)
            local = of_label[mine_T]
            part = self._head_gradient(student, features, local, label, weights_J[mine_T][local])
            g_syn = self._sum_over_processes(part)
            try:
                loss, direction = matching_loss(teacher[label], g_syn)
            except ValueError as error:
                raise UserError(
                    f"label '{self.generator.format.label_names[label]}' at step {self.state.global_step + 1}: "
                    f"{error}; check the learner and its learning rate"
                ) from error
            direction = direction / self.num_labels
            if local.any():
                here = torch.full((int(local.sum()),), label, device=labels_J.device)
                derivatives = directional_derivatives(student.head.eval(), features[local], here, direction)
                positions = mine_T[local]
                coefficients[positions] = surrogate_coefficients(
                    weights_J[positions], derivatives, self.args.temperature, mean_derivative=g_syn @ direction
                ).to(coefficients.dtype)
            losses.append(loss)
            sizes.append(effective_sample_size(weights_J[of_label]).item())
            cosines[f"gradient_cosine_{label}"] = 1 - loss.item()
        loss = torch.stack(losses).mean()
        self.note(
            gradient_cosine=1 - loss.item(),
            effective_sample_size=sum(sizes) / len(sizes),
            synthetic_nll=nll_J.mean().item(),
            **(cosines if self.num_labels <= 10 else {}),
        )
        return loss.detach(), coefficients

    def _teacher_rows(self, trajectory: int | str, position: int) -> list[np.ndarray]:
        """The teacher set of inner step `position`: an entry of a permutation seeded by the trajectory."""
        rng = np.random.default_rng(stable_seed(self.args.seed, "teacher", trajectory))
        return self.teacher_sets[rng.permutation(len(self.teacher_sets))[position % len(self.teacher_sets)]]

    def _teacher_gradients(self, teacher_rows: list[np.ndarray]) -> list[torch.Tensor]:
        """Mean gradient of each label's real rows at the learner; processes share the rows."""
        learner = self.trajectory.learner
        joint = [(label, int(i)) for label, rows in enumerate(teacher_rows) for i in rows]
        mine = joint[self.args.process_index :: self.args.world_size]
        features = learner.features(self.trajectory.encoded, [i for _, i in mine]) if mine else None
        labels = torch.tensor([y for y, _ in mine], device=self.args.device)
        result = []
        for label, rows in enumerate(teacher_rows):
            local = labels == label
            weights = torch.full((int(local.sum()),), 1 / len(rows), device=self.args.device)
            part = self._head_gradient(learner, features, local, label, weights)
            result.append(self._sum_over_processes(part))
        return result

    def _head_gradient(self, learner: Learner, features, local, label: int, weights) -> torch.Tensor:
        """Weighted head gradient of the rows `local` of a label, zeros if this process has none."""
        if features is None or not local.any():
            return torch.zeros(sum(p.numel() for p in learner.head.parameters()), device=self.args.device)
        labels = torch.full((int(local.sum()),), label, device=self.args.device)
        return head_gradient(learner.head.eval(), features[local], labels, weights.to(features.dtype))

    # ---- processes ----

    def _sum_over_processes(self, value: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(value, reduction="sum") if self.args.world_size > 1 else value

    @staticmethod
    def _scatter(values: torch.Tensor, positions: list[int], size: int) -> torch.Tensor:
        result = values.new_zeros(size)
        result[positions] = values
        return result

    # ---- measuring ----

    def _measure_pool(self) -> None:
        self.note(malformed_rate=self.pool.malformed_rate)
        if self.probe is not None:
            rows = [(row, y) for y, texts in self.pool.rows.items() for row in texts]
            self.note(label_consistency=self.probe.accuracy([r for r, _ in rows], [y for _, y in rows]))

    def measure_generator(self) -> dict[str, float]:
        """Adds the gradient cosine of fresh samples at fixed learner snapshots."""
        metrics = super().measure_generator()
        if self.args.probe_samples:
            metrics["gradient_cosine"] = self.measure_gradient_cosine(self.args.probe_samples)
        return metrics

    def measure_gradient_cosine(self, num_per_label: int, *seed_parts: int | str) -> float:
        """
        Mean over fixed learner snapshots and labels of cos(teacher gradient, mean gradient of fresh samples).

        The snapshots, teacher sets and random numbers are the same at every call, so calls are comparable.

        Args:
            num_per_label (`int`): fresh samples per label; malformed ones are left out.
            seed_parts: key of the samples' random streams.
        """
        targets = self.sample_targets(num_per_label, self.args.seed, "cosine", *seed_parts)
        decode = self.generator.format.decode
        rows = {y: [row for t in values if (row := decode(t)) is not None] for y, values in targets.items()}
        if not all(rows.values()):
            return float("nan")
        student, cosines = self.trajectory.student, []
        current = {k: v.clone() for k, v in student.model.state_dict().items()}
        for state, teacher in self._eval_snapshots():
            student.model.load_state_dict(state)
            for label, texts in rows.items():
                features = student.features(student.encode(texts), range(len(texts)))
                labels = torch.full((len(texts),), label, device=self.args.device)
                weights = torch.full((len(texts),), 1 / len(texts), device=self.args.device)
                gradient = head_gradient(student.head.eval(), features, labels, weights)
                cosines.append(torch.cosine_similarity(gradient, teacher[label], dim=0).item())
        student.model.load_state_dict(current)
        return sum(cosines) / len(cosines)

    def _eval_snapshots(self) -> list[tuple[dict, list[torch.Tensor]]]:
        """Student weights and teacher gradients along a trajectory that training never uses; computed once."""
        if self._snapshots is None:
            tensors, rest = self.trajectory.state_dict()
            self._snapshots = []
            for position in range(self.args.eval_snapshots):
                self.trajectory.move_to("eval", position)
                state = {k: v.detach().clone() for k, v in self.trajectory.student.model.state_dict().items()}
                teacher = self._teacher_gradients(self._teacher_rows("eval", position))
                self._snapshots.append((state, teacher))
            self.trajectory.load_state_dict(tensors, rest)
        return self._snapshots

    # ---- resuming ----

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        # The same on all processes: learner and pool are replicated.
        if self.args.should_save:
            tensors, trajectory = self.trajectory.state_dict()
            temporary = Path(output_dir) / f".{STATE_TENSORS}"
            save_file(tensors, temporary)
            os.replace(temporary, Path(output_dir) / STATE_TENSORS)
            write_json(Path(output_dir) / STATE_JSON, {"trajectory": trajectory, "pool": self.pool.state_dict()})

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        tensors, state = Path(checkpoint) / STATE_TENSORS, Path(checkpoint) / STATE_JSON
        for path in (tensors, state):
            if not path.is_file():
                raise UserError(f"checkpoint '{checkpoint}' is incomplete ({path.name} is missing); name another one")
        content = json.loads(state.read_text(encoding="utf-8"))
        self.trajectory.load_state_dict(load_file(tensors, device=str(self.args.device)), content["trajectory"])
        self.pool.load_state_dict(content["pool"])
