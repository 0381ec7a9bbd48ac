# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a causal language model makes of its last hidden states."""

import torch
from transformers import PreTrainedModel


def transform_logits(logits: torch.Tensor, config) -> torch.Tensor:
    """
    What models do with the product of hidden states and output layer: scale, soft-capping. It is done for each logit
    by itself, so logits may come in any part of the vocabulary. `config` is the model's text configuration.
    """
    if getattr(config, "logit_scale", None) is not None:
        logits = logits * config.logit_scale
    if getattr(config, "logits_scaling", None) is not None:
        logits = logits / config.logits_scaling
    cap = getattr(config, "final_logit_softcapping", None) or getattr(config, "logits_soft_cap", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


@torch.no_grad()
def explains_logits(model: PreTrainedModel) -> bool:
    """
    Whether output layer and [`transform_logits`], applied to what the base model returns, give the model's logits.
    """
    was_training = model.training
    model.eval()
    ids = torch.tensor([[1, 2, 3]], device=model.device)
    hidden = getattr(model.base_model(input_ids=ids, use_cache=False), "last_hidden_state", None)
    theirs = model(input_ids=ids, use_cache=False).logits.float()
    model.train(was_training)
    if hidden is None:
        return False
    config = model.config.get_text_config(decoder=True)
    ours = transform_logits(model.get_output_embeddings().forward(hidden), config).float()
    tolerance = 1e-5 if model.dtype in (torch.float32, torch.float64) else 4e-3
    if ours.shape != theirs.shape or not ours.isfinite().all():
        return False
    return bool((ours - theirs).abs().max() <= tolerance * ours.abs().max())
