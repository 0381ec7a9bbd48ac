# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The learner: a text classifier, seen as an encoder that makes features and a head that makes logits of them."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModelForSequenceClassification

from ..configs import LearnerArguments
from ..data.samplers import epoch_batch, length_sorted_batches, stable_seed
from ..errors import UserError
from .encoder import encode_rows, load_learner_tokenizer, pad_rows
from .loading import LOAD_ERRORS, load_failure


class Learner:
    """
    A sequence classifier whose head can be re-drawn and whose head inputs can be read.

    Attributes:
        model (`PreTrainedModel`): a sequence classification model.
        tokenizer (`PreTrainedTokenizerBase`): its tokenizer.
        head (`nn.Module`): the classification head: one linear layer, or a module such as RoBERTa's.
        max_length (`int`): longest input in tokens.
    """

    def __init__(self, model, tokenizer, max_length: int = 128):
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length
        self.head_name, self.head = find_head(model)
        # Clones: `state_dict` alone would alias the live weights.
        self._pretrained = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @classmethod
    def load(cls, args: LearnerArguments, num_labels: int, rows: Sequence[tuple[str, ...]] = (), device=None):
        """
        Loads the learner that `args` names, with a head for `num_labels` classes.

        Args:
            args ([`LearnerArguments`]): id, directory, or `tiny`.
            num_labels (`int`): number of classes.
            rows: real texts; the tokenizer of a tiny learner is trained on them.
            device: where to put it.

        Raises:
            UserError: it cannot be loaded, its tokenizer cannot pad, or its head is of an unknown kind.
        """
        if args.learner == "tiny":
            from .tiny import tiny_classifier

            model, tokenizer = tiny_classifier(rows, num_labels)
        else:
            tokenizer = load_learner_tokenizer(args)
            try:
                model = AutoModelForSequenceClassification.from_pretrained(
                    args.learner,
                    num_labels=num_labels,
                    revision=args.learner_revision,
                    dtype=getattr(torch, args.learner_dtype),
                    attn_implementation=args.learner_attn_implementation,
                    ignore_mismatched_sizes=True,
                )
            except LOAD_ERRORS as error:
                raise UserError(load_failure(args.learner, "learner", error)) from error
        return cls(model.to(device or "cpu"), tokenizer, args.learner_max_length)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def clone(self) -> "Learner":
        """An independent copy: other weights, same tokenizer."""
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model)
        other.head_name, other.head = find_head(other.model)
        return other

    def reset(self, *seed_parts: int | str) -> None:
        """Puts the pretrained encoder back and draws a fresh head from `seed_parts`, leaving global RNGs alone."""
        self.model.load_state_dict(self._pretrained)
        self.reset_head(*seed_parts)

    def reset_head(self, *seed_parts: int | str) -> None:
        """Draws a fresh head with the initialisation of the architecture."""
        std = getattr(self.model.config, "initializer_range", 0.02)
        generator = torch.Generator().manual_seed(stable_seed(*seed_parts, "head"))
        with torch.no_grad():
            for module in self.head.modules():
                if isinstance(module, nn.Linear):
                    noise = torch.randn(module.weight.shape, generator=generator)
                    module.weight.copy_(noise * std)
                    if module.bias is not None:
                        module.bias.zero_()

    def encode(self, rows: Sequence[tuple[str, ...]]):
        """Tokenises rows, unpadded."""
        return encode_rows(self.tokenizer, rows, self.max_length)

    @torch.no_grad()
    def features(self, encoded, index: Sequence[int], token_budget: int = 8192) -> torch.Tensor:
        """
        Inputs of the head for the rows `index` of an encoded data set, dropout off, without gradient.

        Returns:
            `torch.Tensor` of shape `[len(index), H]` for a linear head, `[len(index), 1, H]` for a RoBERTa-type head
            (which reads the first position of a sequence).
        """
        was_training = self.model.training
        self.model.eval()
        lengths = [len(encoded["input_ids"][i]) for i in index]
        result = None
        with _Capture(self.head) as capture:
            for rows in length_sorted_batches(lengths, token_budget):
                batch = pad_rows(self.tokenizer, encoded, [index[r] for r in rows], self.device)
                self.model(**batch)
                features = capture.value
                if features.dim() == 3:
                    features = features[:, :1]
                if result is None:
                    result = features.new_empty((len(index), *features.shape[1:]))
                result[torch.tensor(rows, device=result.device)] = features
        self.model.train(was_training)
        return result

    @torch.no_grad()
    def predict(self, encoded, token_budget: int = 8192) -> torch.Tensor:
        """Predicted label ids of all rows of an encoded data set, `[N]`."""
        self.model.eval()
        lengths = [len(ids) for ids in encoded["input_ids"]]
        result = torch.empty(len(lengths), dtype=torch.long)
        for rows in length_sorted_batches(lengths, token_budget):
            batch = pad_rows(self.tokenizer, encoded, rows, self.device)
            result[rows] = self.model(**batch).logits.argmax(dim=-1).cpu()
        return result

    def training_step(self, optimizer, encoded, labels_N: torch.Tensor, batch_size: int, step: int, *seed_parts):
        """
        One optimizer step on batch `step` of shuffled epochs over the encoded rows; dropout is on.

        The rows and the dropout masks depend on `seed_parts` and `step` alone.

        Returns:
            `float`: the mean cross-entropy of the batch, nats.
        """
        index = epoch_batch(len(labels_N), batch_size, step, *seed_parts, "batch").tolist()
        batch = pad_rows(self.tokenizer, encoded, index, self.device)
        self.model.train()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(stable_seed(*seed_parts, "dropout", step))
            loss = F.cross_entropy(self.model(**batch).logits.float(), labels_N[index].to(self.device))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()


class _Capture:
    """Context manager that keeps the first input of a module's last call."""

    def __init__(self, module: nn.Module):
        self.module, self.value = module, None

    def __enter__(self):
        self._handle = self.module.register_forward_pre_hook(self._keep)
        return self

    def _keep(self, module, args):
        self.value = args[0]

    def __exit__(self, *exception):
        self._handle.remove()


def find_head(model) -> tuple[str, nn.Module]:
    """
    The name and module of a classifier's head: a linear layer, or a module that reads the first position (RoBERTa).

    Raises:
        UserError: the head is of another kind.
    """
    head = getattr(model, "classifier", None)
    linear = isinstance(head, nn.Linear) and not hasattr(model, "pre_classifier") and not hasattr(model, "head")
    roberta = head is not None and hasattr(head, "dense") and hasattr(head, "out_proj")
    if not (linear or roberta):
        raise UserError(
            f"the head of {type(model).__name__} is neither one linear layer nor RoBERTa's; use a BERT- or "
            "RoBERTa-type learner (--learner)"
        )
    return "classifier", head
