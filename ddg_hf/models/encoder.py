# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Sentence embeddings of a pretrained encoder: for K-centers, clustering, and the label probe."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from transformers import AutoModel

from ..configs import LearnerArguments
from ..errors import UserError
from .loading import LOAD_ERRORS, load_failure, load_tokenizer
from .tiny import TINY_LEARNERS, tiny_classifier


class TextEncoder:
    """
    Mean-pooled last hidden states of an encoder.

    Args:
        learner_args ([`LearnerArguments`]): the encoder is the learner's, with its pretrained weights.
        device (`torch.device`, *optional*): where the encoder runs; the GPU if there is one.
        rows (`Sequence[tuple[str, ...]]`): real texts; the tokenizer of a tiny encoder is trained on them.

    Raises:
        UserError: the encoder cannot be loaded, or its tokenizer does not fit it.
    """

    def __init__(self, learner_args: LearnerArguments, rows: Sequence[tuple[str, ...]] = (), device=None):
        if learner_args.learner in TINY_LEARNERS:
            classifier, tokenizer = tiny_classifier(rows, 2, learner_args.learner)
            model = classifier.base_model
        else:
            tokenizer = load_learner_tokenizer(learner_args)
            try:
                model = AutoModel.from_pretrained(
                    learner_args.learner,
                    revision=learner_args.learner_revision,
                    dtype=getattr(torch, learner_args.learner_dtype),
                    attn_implementation=learner_args.learner_attn_implementation,
                )
            except LOAD_ERRORS as error:
                raise UserError(load_failure(learner_args.learner, "learner", error)) from error
        check_tokenizer(tokenizer, model)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model, self.tokenizer = model.eval().to(self.device), tokenizer
        self.max_length = learner_args.learner_max_length

    @torch.no_grad()
    def embed(self, rows: Sequence[tuple[str, ...]], token_budget: int | None = None) -> np.ndarray:
        """
        Embeds rows of one or two text columns.

        Args:
            rows (`Sequence[tuple[str, ...]]`): N rows, one text per column.
            token_budget (`int`, *optional*): padded tokens per forward pass, of rows of similar length; 1024 on a CPU,
                8192 elsewhere.

        Returns:
            `np.ndarray` of shape `[N, H]`, float32, in the order of `rows`.
        """
        from ..data.samplers import length_sorted_batches

        if not rows:
            return np.zeros((0, self.model.config.hidden_size), dtype=np.float32)
        encoded = encode_rows(self.tokenizer, rows, self.max_length)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        result = np.empty((len(rows), self.model.config.hidden_size), dtype=np.float32)
        token_budget = token_budget or (1024 if self.device.type == "cpu" else 8192)
        for index in length_sorted_batches(lengths, token_budget):
            batch = pad_rows(self.tokenizer, encoded, index, self.device)
            hidden = self.model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1)
            result[index] = ((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy()
        return result


def load_learner_tokenizer(learner_args: LearnerArguments):
    """
    Loads the tokenizer of a learner. One without a pad token pads with its end-of-text token; the attention mask keeps
    padding out of the result.

    Raises:
        UserError: it cannot be loaded, or has neither token.
    """
    tokenizer = load_tokenizer(learner_args.learner, learner_args.learner_revision)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UserError(
                f"the tokenizer of '{learner_args.learner}' has no pad token; set pad_token in its "
                "tokenizer_config.json to one of its tokens"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_tokenizer(tokenizer, model) -> None:
    """
    Raises a `UserError` if the tokenizer has no padding token, or can make ids for which the model has no embedding.
    """
    if tokenizer.pad_token_id is None:
        raise UserError("the learner's tokenizer has no pad token; set pad_token to one of its tokens")
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:
        return
    if not isinstance(embeddings, nn.Embedding):  # e.g. hashed characters: any id will do
        return
    highest = max(*tokenizer.get_vocab().values(), *tokenizer.all_special_ids)
    if highest >= embeddings.num_embeddings:
        token = tokenizer.convert_ids_to_tokens(highest)
        raise UserError(
            f"the learner's tokenizer makes {highest + 1} ids (the last is {token!r}), but the model has embeddings "
            f"for {embeddings.num_embeddings}; save the model with its own tokenizer, or resize its embeddings "
            "(resize_token_embeddings)"
        )


def encode_rows(tokenizer, rows: Sequence[tuple[str, ...]], max_length: int):
    """Tokenises rows of one or two columns as an encoder expects them, truncated to `max_length` tokens, unpadded."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    if len(columns) > 2:  # encoders know pairs at most
        columns = [columns[0], [" ".join(rest) for rest in zip(*columns[1:], strict=True)]]
    limit = min(max_length, tokenizer.model_max_length)
    return tokenizer(*columns, truncation=True, max_length=limit)


def pad_rows(tokenizer, encoded, index: Sequence[int], device) -> dict[str, torch.Tensor]:
    """Pads the rows `index` of an encoded data set to their longest."""
    rows = {key: [values[i] for i in index] for key, values in encoded.items()}
    return dict(tokenizer.pad(rows, return_tensors="pt").to(device))
