# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Language-model pretraining of a label-conditioned generator."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from ..data.samplers import stable_seed
from ..errors import UserError
from ..evaluation.label_control import LabelProbe
from ..losses.generation import label_discrimination_loss
from ..models.generator import Generator
from ..models.sequence_format import EncodedText
from .generator_trainer import GeneratorTrainer
from .lm_config import GeneratorPretrainingConfig


class EncodedRows(Dataset):
    """Rows of a task in the sequence format of a generator: items are `(index, EncodedText, label)`."""

    def __init__(self, generator: Generator, rows: Sequence[tuple[str, ...]], labels: Sequence[int]):
        self.samples = [generator.format.encode(row, label) for row, label in zip(rows, labels, strict=True)]
        self.labels = list(labels)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[int, EncodedText, int]:
        return index, self.samples[index], self.labels[index]


class GeneratorPretrainingTrainer(GeneratorTrainer):
    """
    Trains a generator on the texts of a task, each after the prefix of its label (DDG, section 3; DiLM, section 3.1).

    The loss is the mean over samples of the mean negative log-likelihood of a sample's own tokens, the end token
    included, so it does not depend on how rows are batched, padded or spread over processes.

    Args:
        generator ([`Generator`]): see [`Generator.create`].
        args ([`GeneratorPretrainingConfig`]): the configuration.
        train_rows, train_labels: real training rows, one text per column, and their label ids.
        eval_rows, eval_labels (*optional*): held-out rows, for the NLL and the accuracy of the probe.
        probe ([`LabelProbe`], *optional*): measures label consistency at every evaluation.
    """

    stage = "pretrain"

    def __init__(
        self,
        generator: Generator,
        args: GeneratorPretrainingConfig,
        train_rows: Sequence[tuple[str, ...]],
        train_labels: Sequence[int],
        eval_rows: Sequence[tuple[str, ...]] = (),
        eval_labels: Sequence[int] = (),
        probe: LabelProbe | None = None,
        **kwargs,
    ):
        if len(train_rows) == 0:
            raise UserError("the training split is empty; pretraining needs labelled text")
        super().__init__(
            generator,
            args,
            EncodedRows(generator, train_rows, train_labels),
            eval_rows,
            eval_labels,
            probe,
            data_collator=self._collate,
            **kwargs,
        )

    def _collate(self, items) -> dict[str, torch.Tensor]:
        index, samples, labels = zip(*items, strict=True)
        return {
            "index": torch.tensor(index),
            "label": torch.tensor(labels),
            **self.generator.collate(samples),
        }

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> torch.Tensor:
        """Rows of the whole accumulated batch, over all processes."""
        rows = torch.tensor(sum(len(batch["index"]) for batch in batch_samples), device=device)
        return self.accelerator.gather(rows).sum() if self.args.world_size > 1 else rows

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        model.train()
        inputs = self._prepare_inputs(inputs)
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        micro_batches = self.padded(self.micro_batches(lengths))
        shortest = min(range(len(lengths)), key=lengths.__getitem__)
        # Gradients are averaged over processes, so a sum over rows is scaled by their number.
        scale = self.args.world_size / num_items_in_batch
        total = torch.zeros((), device=self.args.device)
        for i, rows in enumerate(micro_batches):
            weight, rows = (scale, rows) if rows else (0.0, [shortest])
            longest = lengths[rows[0]]
            batch = {k: inputs[k][rows, :longest] for k in ("input_ids", "attention_mask", "nll_labels")}
            with self.sync_context(model, last=i == len(micro_batches) - 1):
                output = model(**batch)
                loss = output["nll"].float().sum()
                if self.args.discriminative_weight:
                    loss = loss + self.args.discriminative_weight * self._discrimination(model, inputs, rows, output)
                if not torch.isfinite(loss):
                    row = rows[int((~torch.isfinite(output["nll"])).int().argmax())]
                    ids = inputs["input_ids"][row, : lengths[row]].tolist()
                    self.check_finite(loss, f"language-model loss of a batch with the row {self.text(ids)!r}")
                self.backward(loss * weight)
            total += loss.detach() * weight
        return total

    def _discrimination(self, model, inputs, rows, own) -> torch.Tensor:
        """Sum over `rows` of the term that compares a text's label with others."""
        num_labels = self.generator.format.num_labels
        draws = min(self.args.discriminative_labels, num_labels - 1)
        columns = [-own["nll"].float() * own["num_targets"]]
        index, labels = inputs["index"][rows].tolist(), inputs["label"][rows].tolist()
        others = [
            np.random.default_rng(stable_seed(self.args.seed, "others", self.state.global_step, i)).permutation(
                [y for y in range(num_labels) if y != label]
            )
            for i, label in zip(index, labels, strict=True)
        ]
        for k in range(draws):
            samples = [
                EncodedText(self.generator.format.prefix(int(other[k])), self.train_dataset.samples[i].target)
                for i, other in zip(index, others, strict=True)
            ]
            batch = {key: value.to(self.args.device) for key, value in self.generator.collate(samples).items()}
            output = model(**batch)
            columns.append(-output["nll"].float() * output["num_targets"])
        return label_discrimination_loss(torch.stack(columns, dim=1)).sum()
