# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distillation of a generator by gradient matching."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import SequentialSampler

from ..data.samplers import Steps, epoch_batch, stable_seed
from ..errors import UserError
from ..evaluation.label_control import LabelProbe
from ..losses.gradient_matching import with_language_model_loss
from ..models.encoder import TextEncoder
from ..models.generator import Generator
from ..models.learner import Learner
from ..models.row_gradients import RowGradients
from ..models.sequence_format import EncodedText
from ..provenance import peak_memory_mb
from .distillation_config import DistillationConfig
from .distillation_state import load_distillation_state, save_distillation_state
from .generator_trainer import GeneratorTrainer
from .matching import ZeroGradientError, match_gradients
from .pool import SyntheticPool
from .processes import Processes
from .sharding import gathered
from .snapshots import EvaluationSnapshots
from .trajectories import build_trajectories


@dataclass
class _Batch:
    """The joint batch of all processes: S synthetic rows, then the rows of the language-model loss."""

    samples: list[EncodedText]
    # of the synthetic rows
    pool_positions: list[int]
    labels_S: torch.Tensor


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
    num_synthetic: int
    start: float


class DistillationTrainer(GeneratorTrainer):
    """
    Updates a pretrained generator so that the gradients of its texts match those of real ones (DDG, section 3).

    Each step: the teacher gradient of every label is taken on a K-centers coreset at the learner; the gradient of
    weighted synthetic rows at the student; 1 - cosine is the loss. The generator sees it as a weighted language-model
    loss ([`~ddg_hf.losses.gradient_matching`]). Between steps the learner trains on real data. What is logged as
    `loss` is the objective, not the surrogate.

    Args:
        generator ([`Generator`]): pretrained generator.
        learner ([`Learner`]): classifier, a sequence classification model of any architecture.
        encoder ([`TextEncoder`]): embeds rows, for teacher sets and clusters.
        args ([`DistillationConfig`]): the configuration.
        train_rows, train_labels: real training rows and label ids.
        eval_rows, eval_labels (*optional*): held-out rows.
        probe ([`LabelProbe`], *optional*): measures label consistency.
        validator (`Callable`, *optional*): `(generator, processes) -> metrics` of generated sets, measured at every
            evaluation ([`~ddg_hf.evaluation.validation.SetValidator`]).

    Raises:
        UserError: the learner's type is not float32, `labels_per_step` exceeds the labels, or a class has too few
            training rows. In training also: too few well-formed texts, fewer texts than processes or accumulation
            steps, and a loss that is not finite; see [`GeneratorTrainer`] for the rest.
    """

    stage = "distill"

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
        validator: Callable[[Generator, Processes], dict[str, float]] | None = None,
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
        if (args.labels_per_step or 1) > self.num_labels:
            raise UserError(f"--labels_per_step {args.labels_per_step} is more than the {self.num_labels} labels")
        self.validator = validator
        self.train_rows, self.train_labels = list(train_rows), list(train_labels)
        self.learner_trajectory, self.trajectory = build_trajectories(
            *(learner, encoder, self.train_rows, self.train_labels, self.num_labels, args, self.processes),
            show_progress=not args.disable_tqdm and args.process_index == 0,
        )
        self.snapshots = EvaluationSnapshots(self.learner_trajectory, args.eval_snapshots)
        # At most half of a class, as for the real rows.
        counts = np.bincount(train_labels, minlength=self.num_labels)
        synthetic_per_class = [max(2, min(args.synthetic_per_class, int(count) // 2)) for count in counts]
        self.pool = SyntheticPool(
            generator.format,
            args,
            synthetic_per_class,
            self.sample_targets,
            encoder.embed,
            learner.encode,
            self.processes,
        )
        self._update: _Update | None = None
        self._micro_step = 0

    def _get_train_sampler(self, train_dataset=None):
        return SequentialSampler(train_dataset or self.train_dataset)

    # ---- one update ----

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        # Dropout off: the weights and the backward pass must belong to the same function.
        model.eval()
        accumulation = self.args.gradient_accumulation_steps
        if self._micro_step == 0:
            self._update = self._prepare_update(model)
        update, start = self._update, time.time()
        self._backward_share(model, update, self._micro_step, accumulation)
        update.seconds_generator += time.time() - start
        self._micro_step = (self._micro_step + 1) % accumulation
        if self._micro_step == 0:
            rate = update.num_synthetic / (time.time() - update.start)
            self.note(seconds_generator=update.seconds_generator, samples_per_second=rate)
        return update.loss / accumulation

    def _prepare_update(self, model) -> _Update:
        """Moves learner and pool to this step, and computes the loss and the coefficients."""
        began = time.time()
        step = self.state.global_step
        outer, inner = divmod(step, self.args.inner_steps)
        self._refresh_pool(outer // self.args.generate_interval)
        start = time.time()
        self.trajectory.move_to(outer, inner)
        self.note(seconds_learner=time.time() - start)

        start = time.time()
        batch = self._draw(step)
        mine = list(range(self.args.process_index, len(batch.samples), self.args.world_size))
        local = [batch.samples[i] for i in mine]
        micro_batches = self.padded(self._split([len(s) for s in local]))
        nll_B, graph = self._local_nll(model, local, micro_batches)
        nll_J = nll_B.new_zeros(len(batch.samples))
        nll_J[mine] = nll_B.detach()
        nll_J = self.processes.sum(nll_J)
        self._check_losses(nll_J, batch)
        nll_seconds = time.time() - start

        start = time.time()
        loss, coefficients_J = self._objective(batch, nll_J, mine)
        self.note(seconds_match=time.time() - start)
        size = len(batch.pool_positions)
        return _Update(local, micro_batches, coefficients_J[mine], loss, graph, nll_seconds, size, began)

    def _refresh_pool(self, round: int) -> None:
        if self.pool.round != round:
            self.pool.refresh(round)
            self.note(**{f"seconds_{phase}": seconds for phase, seconds in self.pool.seconds.items()})
            if self.probe is not None:
                consistency = self.probe.accuracy(self.pool.rows, self.pool.labels)
                self.pool.metrics["label_consistency"] = consistency
        self.note(**self.pool.metrics)

    def _draw(self, step: int) -> _Batch:
        """The joint batch of an update, a function of the pool and the step."""
        labels, format = None, self.generator.format
        if self.args.labels_per_step is not None:
            rng = np.random.default_rng(stable_seed(self.args.seed, "labels", step))
            labels = np.sort(rng.choice(self.num_labels, self.args.labels_per_step, replace=False)).tolist()
        positions = [i for rows in self.pool.batch(step, labels).values() for i in rows]
        samples = [EncodedText(format.prefix(self.pool.labels[i]), self.pool.targets[i]) for i in positions]
        if self.args.lm_lambda:
            real = epoch_batch(len(self.train_rows), self.args.lm_batch_size, step, self.args.seed, "lm")
            samples += [format.encode(self.train_rows[i], self.train_labels[i]) for i in real]
        labels_S = torch.tensor([self.pool.labels[i] for i in positions], device=self.args.device)
        return _Batch(samples, positions, labels_S)

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
        keep_graph = self._graph_fits(samples, micro_batches)
        shortest = min(samples, key=len)
        pieces = []
        with torch.set_grad_enabled(keep_graph):
            for k, rows in enumerate(micro_batches):
                with self.sync_context(model, last=k == len(micro_batches) - 1):
                    nll = self._forward(model, [samples[i] for i in rows] or [shortest])
                pieces.append(nll[: len(rows)])
        order = [i for rows in micro_batches for i in rows]
        back = torch.argsort(torch.tensor(order, device=self.args.device))
        nll_B = torch.cat(pieces)[back]
        return nll_B, nll_B if keep_graph else None

    def _graph_fits(self, samples, micro_batches) -> bool:
        """Whether one forward pass serves for weights and backward pass; the same answer on all processes."""
        if self.args.gradient_accumulation_steps > 1 or (self.is_sharded and len(micro_batches) > 1):
            return False
        tokens = sum(len(rows) * len(samples[rows[0]]) for rows in micro_batches if rows)
        everywhere = self.accelerator.gather(torch.tensor([tokens], device=self.args.device))
        return int(everywhere.max()) <= self.args.max_graph_tokens

    def _backward_share(self, model, update: _Update, share: int, shares: int) -> None:
        """Backward pass of one accumulation step's part of the surrogate sum_i c_i nll_i."""
        # DDP averages over the processes, the surrogate is a sum over their rows.
        coefficients = update.coefficients_B * self.args.world_size
        if update.nll_B is not None:
            self.backward((coefficients * update.nll_B).sum())
            update.nll_B = None
            return
        mine = update.micro_batches[share::shares]
        shortest = min(update.samples, key=len)
        for k, rows in enumerate(mine):
            with self.sync_context(model, last=k == len(mine) - 1):
                nll = self._forward(model, [update.samples[i] for i in rows] or [shortest])
                self.backward((coefficients[rows] * nll).sum() if rows else nll.sum() * 0)

    # ---- the objective ----

    def _objective(self, batch: _Batch, nll_J: torch.Tensor, mine: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The loss of the joint batch and its derivative in each row's NLL.

        Returns:
            `(loss, coefficients_J)`; the coefficients of other processes' rows need not be right.
        """
        size, weight = len(batch.pool_positions), self.args.lm_lambda
        synthetic = [i for i in mine if i < size]
        source = None
        if synthetic:
            positions = [batch.pool_positions[i] for i in synthetic]
            source = RowGradients(
                self.trajectory.student,
                self.pool.encoded,
                positions,
                batch.labels_S[synthetic],
                self.args.match_parameters,
            )
        try:
            match = match_gradients(
                batch.labels_S,
                nll_J[:size],
                synthetic,
                source,
                self.trajectory.teacher_gradient,
                self.args.normalize_temperature,
                self.processes,
            )
        except ZeroGradientError as error:
            name = self.generator.format.label_names[error.label]
            raise UserError(
                f"label '{name}' at step {self.state.global_step + 1}: {error}; check the learner and its learning "
                "rate"
            ) from error
        loss, coefficients_J = match.loss, match.coefficients_J
        self._note_match(match, nll_J[:size])
        if weight:
            self.note(lm_loss=nll_J[size:].mean().item(), matching_loss=loss.item())
            loss, coefficients_J = with_language_model_loss(loss, coefficients_J, nll_J[size:], weight)
        if not torch.isfinite(loss):
            raise UserError(
                f"the matching loss is not finite at step {self.state.global_step + 1}: the learner has diverged; "
                "lower --learner_learning_rate. Checkpoints saved before this step are intact"
            )
        return loss, coefficients_J

    def _note_match(self, match, nll_S: torch.Tensor) -> None:
        names = self.generator.format.label_names
        sizes = match.effective_sample_sizes.values()
        self.note(
            gradient_cosine=sum(match.cosines.values()) / len(match.cosines),
            effective_sample_size=sum(sizes) / len(sizes),
            synthetic_nll=nll_S.mean().item(),
            **{f"label_gradient_cosine/{names[y]}": cosine for y, cosine in match.cosines.items()},
        )

    def _check_losses(self, nll_J: torch.Tensor, batch: _Batch) -> None:
        """Raises `UserError` if a row's loss is not finite, naming step and row."""
        if torch.isfinite(nll_J).all():
            return
        bad = (~torch.isfinite(nll_J)).nonzero().flatten().tolist()
        text = self.text(batch.samples[bad[0]].target)
        self.check_finite(nll_J, f"generator loss of {len(bad)} of {len(nll_J)} rows of the batch, such as {text!r},")

    # ---- measuring ----

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs.update(self._held_out_nll())
            memory = peak_memory_mb()
            if torch.cuda.is_available():
                memory = torch.cuda.max_memory_allocated() / 2**20
            if memory is not None:
                logs["peak_memory_mb"] = memory
        super().log(logs, start_time)

    def _held_out_nll(self) -> dict[str, float]:
        """NLL of fixed held-out real rows under the generator, nats per token; nothing without such rows."""
        format, number = self.generator.format, self.args.held_out_samples
        pairs = zip(self.eval_rows[:number], self.eval_labels[:number], strict=True)
        samples = [format.encode(row, label) for row, label in pairs if format.is_covered(row)]
        if not samples:
            return {}
        with gathered(self.model_wrapped):
            nll = self.generator.nll(samples, self.args.tokens_per_micro_batch)
        return {"held_out_nll": nll.mean().item()}

    def measure_generator(self) -> dict[str, float]:
        """What the base class measures, and the validation; keys without prefix."""
        metrics = super().measure_generator()
        if self.validator is not None:
            metrics |= self.validator(self.generator, self.processes)
        return metrics

    def measure_texts(self, targets: dict[int, list[list[int]]]) -> dict[str, float]:
        """What the base class measures, the gradient cosine of the same texts, and those of as many real rows."""
        numbers = [len(targets[y]) for y in range(self.num_labels)]
        references = self.snapshots.references(self.train_rows, self.train_labels, numbers)
        return super().measure_texts(targets) | {"gradient_cosine": self._gradient_cosine(targets)} | references

    def measure_gradient_cosine(self, num_per_label: int, *seed_parts: int | str) -> float:
        """
        Mean over fixed learner snapshots and labels of cos(teacher gradient, mean gradient of fresh samples).

        The snapshots, teacher sets and random numbers are the same at every call, so calls are comparable.

        Args:
            num_per_label (`int`): fresh samples per label; malformed ones are left out.
            seed_parts: key of the samples' random streams.

        Returns:
            `float`: `nan` if all samples of a label are malformed.
        """
        return self._gradient_cosine(self.sample_targets(num_per_label, self.args.seed, "cosine", *seed_parts))

    def _gradient_cosine(self, targets: dict[int, list[list[int]]]) -> float:
        decode = self.generator.format.decode
        rows = [[row for t in targets[y] if (row := decode(t)) is not None] for y in range(self.num_labels)]
        return self.snapshots.gradient_cosine(rows) if all(rows) else float("nan")

    # ---- resuming ----

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        # The same on all processes: learner and pool are replicated.
        if self.args.should_save:
            save_distillation_state(Path(output_dir), self.trajectory, self.pool)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            load_distillation_state(Path(checkpoint), self.trajectory, self.pool)
