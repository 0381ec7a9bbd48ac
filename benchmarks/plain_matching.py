# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Gradient matching as its papers write it down (DDG, section 3; DiLM, section 3.2): what the benchmarks compare with.

Every batch is padded to its longest row; gradients are taken in all parameters of the learner, of which those of the
head are used; the loss is differentiated through the weighted gradient, by double backward (eager attention).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch.func import functional_call, grad


class PlainMatching:
    """
    The plain formulation of one update.

    Args:
        model: a sequence classifier with eager attention.
        tokenizer: its tokenizer.
        head: names of the parameters that are matched.
        max_length (`int`): longest input in tokens.
    """

    def __init__(self, model, tokenizer, head: Sequence[str], max_length: int):
        self.model, self.tokenizer, self.head, self.max_length = model, tokenizer, list(head), max_length

    def _pad(self, rows: Sequence[tuple[str, ...]]):
        columns = [list(column) for column in zip(*rows, strict=True)]
        return self.tokenizer(*columns, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt")

    def learner_steps(self, optimizer, batches: Sequence[tuple[Sequence[tuple[str, ...]], torch.Tensor]]) -> None:
        """Trains the classifier on batches of rows and labels."""
        self.model.train()
        for rows, labels in batches:
            F.cross_entropy(self.model(**self._pad(rows)).logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad()

    def _gradient(self, parameters: dict[str, torch.Tensor], rows, labels, weights) -> torch.Tensor:
        batch = self._pad(rows)

        def loss(parameters):
            logits = functional_call(self.model, parameters, kwargs=dict(batch)).logits
            return (F.cross_entropy(logits, labels, reduction="none") * weights).sum()

        gradients = grad(loss)(parameters)
        return torch.cat([gradients[name].flatten() for name in self.head])

    def match(
        self,
        learner: dict[str, torch.Tensor],
        student: dict[str, torch.Tensor],
        real: dict[int, Sequence[tuple[str, ...]]],
        synthetic: dict[int, Sequence[tuple[str, ...]]],
        nll: dict[int, torch.Tensor],
        temperature: float = 1.0,
    ) -> tuple[float, dict[int, torch.Tensor]]:
        """
        The loss, and its derivative in the generator's loss of every synthetic row.

        Args:
            learner, student: parameters at which the two gradients are taken.
            real, synthetic, nll: rows of each label, and the generator's losses of the synthetic ones.
        """
        self.model.eval()
        losses, coefficients = [], {}
        for label, rows in real.items():
            with torch.no_grad():
                labels, weights = torch.full((len(rows),), label), torch.full((len(rows),), 1 / len(rows))
                g_real = self._gradient(learner, rows, labels, weights)
            leaf = nll[label].detach().requires_grad_()
            w = torch.softmax(-leaf / temperature, dim=0)
            labels = torch.full((len(leaf),), label)
            g_syn = self._gradient(student, synthetic[label], labels, w)
            loss = (1 - torch.cosine_similarity(g_real, g_syn, dim=0)) / len(real)
            loss.backward()
            losses.append(loss.item())
            coefficients[label] = leaf.grad
        return sum(losses), coefficients


def generator_update(generator, samples: Sequence, coefficients: torch.Tensor) -> None:
    """Forward and backward pass of the weighted language-model loss, padded to the longest row, over full logits."""
    batch = generator.collate(samples)
    labels = batch.pop("nll_labels")[:, 1:]
    logits = generator.model(**batch, use_cache=False).logits[:, :-1].float()
    token_nll = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
    nll = token_nll.sum(1) / (labels != -100).sum(1)
    (nll * coefficients).sum().backward()
