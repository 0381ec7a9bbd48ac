# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Training on the part of a large vocabulary that a task uses, and saving the whole."""

import copy
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from ..errors import UserError


class TrimmedVocabulary:
    """
    Restricts a causal language model to some of its tokens, in place.

    The input embeddings, the output head and its bias keep only the rows of `kept_ids`; the model then works with
    *local* ids `0 ... K-1`. Its loss and gradients equal those of the full model with the softmax restricted to the
    kept tokens. [`full_state_dict`] puts the trained rows back among the untouched ones, so that a checkpoint has the
    full vocabulary and goes with the original tokenizer.

    Args:
        model (`PreTrainedModel`): causal language model, changed in place.
        kept_ids (`Iterable[int]`): token ids to keep. Sorted and made unique.
        unknown_id (`int`, *optional*): kept id that stands for tokens outside; without it they are left out.
    """

    def __init__(self, model, kept_ids: Iterable[int], unknown_id: int | None = None):
        self.kept_ids = np.unique(np.asarray(list(kept_ids), dtype=np.int64))
        embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
        self.full_size = embeddings.weight.shape[0]
        if len(self.kept_ids) == 0 or self.kept_ids[0] < 0 or self.kept_ids[-1] >= self.full_size:
            raise UserError(f"kept token ids must lie in 0 ... {self.full_size - 1}, the vocabulary of the model")
        self._local = np.full(self.full_size, -1, dtype=np.int64)
        self._local[self.kept_ids] = np.arange(len(self.kept_ids))
        self.unknown_id = None if unknown_id is None else int(self._local[unknown_id])

        self.tied = head.weight is embeddings.weight
        names = {id(p): n for n, p in model.named_parameters(remove_duplicate=False)}
        modules = dict(model.named_modules())
        self._full: dict[str, torch.Tensor] = {}
        self._names: list[tuple[str, ...]] = []
        for module, attribute in ((embeddings, "weight"), (head, "weight"), (head, "bias")):
            parameter = getattr(module, attribute, None)
            if parameter is None or (self.tied and module is head and attribute == "weight"):
                continue
            if parameter.shape[0] != self.full_size:
                raise UserError(
                    "trim_vocabulary needs input and output embeddings of the same size, found "
                    f"{self.full_size} and {parameter.shape[0]}; pass --no_trim_vocabulary"
                )
            aliases = tuple(
                f"{prefix}.{attribute}"
                for prefix, other in modules.items()
                if getattr(other, attribute, None) is parameter
            )
            assert names[id(parameter)] in aliases
            self._full[names[id(parameter)]] = parameter.detach().clone()
            self._names.append(aliases)
            rows = torch.as_tensor(self.kept_ids, device=parameter.device)
            small = nn.Parameter(parameter.detach()[rows].clone(), requires_grad=parameter.requires_grad)
            for name in aliases:
                prefix, _, leaf = name.rpartition(".")
                setattr(modules[prefix], leaf, small)
        embeddings.num_embeddings = len(self.kept_ids)
        # Rows are looked up by local id; a pad row outside the kept ids is never looked up.
        if embeddings.padding_idx is not None:
            local_pad = int(self._local[embeddings.padding_idx])
            embeddings.padding_idx = local_pad if local_pad >= 0 else None
        head.out_features = len(self.kept_ids)
        model.config.get_text_config().vocab_size = len(self.kept_ids)
        if hasattr(model, "vocab_size"):
            model.vocab_size = len(self.kept_ids)

    def __len__(self) -> int:
        return len(self.kept_ids)

    def to_local(self, ids: Iterable[int]) -> list[int]:
        """Full to local ids; tokens outside become `unknown_id` or, without one, are left out."""
        local = self._local[np.asarray(list(ids), dtype=np.int64)]
        if self.unknown_id is None:
            return local[local >= 0].tolist()
        return np.where(local >= 0, local, self.unknown_id).tolist()

    def covers(self, ids: Iterable[int]) -> bool:
        """Whether all full ids are kept."""
        return bool((self._local[np.asarray(list(ids), dtype=np.int64)] >= 0).all())

    def to_full(self, ids: Iterable[int]) -> list[int]:
        """Local to full ids."""
        return self.kept_ids[np.asarray(list(ids), dtype=np.int64)].tolist()

    def full_state_dict(self, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns a state dict with the full vocabulary: trained rows put back, untouched rows as they were."""
        result = dict(state_dict)
        for (_, full), aliases in zip(self._full.items(), self._names, strict=True):
            present = [name for name in aliases if name in state_dict]
            trained = state_dict[present[0]]
            merged = full.to(device=trained.device, dtype=trained.dtype, copy=True)
            merged[torch.as_tensor(self.kept_ids, device=trained.device)] = trained
            result.update(dict.fromkeys(present, merged))
        return result

    def trimmed_state_dict(self, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The inverse of [`full_state_dict`]: cuts the rows of a full checkpoint down to the kept ids."""
        result = dict(state_dict)
        for aliases in self._names:
            for name in aliases:
                if name in result and result[name].shape[0] == self.full_size:
                    result[name] = result[name][torch.as_tensor(self.kept_ids, device=result[name].device)]
        return result

    def full_head(self, model) -> nn.Linear:
        """A head over the full vocabulary: the trained rows of `model` among the untouched ones."""
        head = model.get_output_embeddings()
        names = {id(p): n for n, p in model.named_parameters(remove_duplicate=False)}
        state = self.full_state_dict({n: p.detach() for n, p in model.named_parameters(remove_duplicate=False)})
        result = nn.Linear(head.weight.shape[1], self.full_size, bias=head.bias is not None, device="meta")
        result.weight = nn.Parameter(state[names[id(head.weight)]], requires_grad=False)
        if head.bias is not None:
            result.bias = nn.Parameter(state[names[id(head.bias)]], requires_grad=False)
        return result

    def full_config(self, config):
        """A copy of the model's configuration with the full vocabulary."""
        config = copy.deepcopy(config)
        config.get_text_config().vocab_size = self.full_size
        return config


def outside_probability(logits_NV: torch.Tensor, kept_ids_K: torch.Tensor) -> torch.Tensor:
    """Probability that a full softmax gives to the tokens that are not kept: `[N, V]` and `[K]` to `[N]`."""
    inside = logits_NV.index_select(-1, kept_ids_K).logsumexp(-1) - logits_NV.logsumexp(-1)
    return -torch.expm1(inside.clamp(max=0.0))
