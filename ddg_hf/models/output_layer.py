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
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


@torch.no_grad()
def explains_logits(model: PreTrainedModel) -> bool:
    """
    Whether output layer and [`transform_logits`], applied to what the base model returns, give the model's logits.
    """
    was_training = model.training
    model.eval()
    ids = torch.tensor([[1, 2, 3]], device=model.device)
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    ours = transform_logits(model.get_output_embeddings().forward(hidden), model.config.get_text_config()).float()
    theirs = model(input_ids=ids, use_cache=False).logits.float()
    model.train(was_training)
    tolerance = 1e-3 if model.dtype in (torch.float32, torch.float64) else 3e-2
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() <= tolerance * theirs.abs().max())
