# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A causal language model whose `forward` can return one loss per sample."""

import functools
import inspect

from ..errors import UserError
from ..losses.generation import chunked_token_nll, per_sample_sum
from .output_layer import explains_logits, transform_logits

IGNORE = -100


class PerSampleNLLMixin:
    """
    Adds `forward(input_ids, attention_mask, nll_labels=...)` to a causal language model class.

    With `nll_labels` (`[B, L]`, `int64`, -100 where there is no loss) it returns `{"nll": [B], "num_targets": [B]}`:
    the mean negative log-likelihood over the real targets of each sample, in nats per token. The work happens inside
    the module's own `forward`, so FSDP and ZeRO hooks see it, and the logits are chunked. Without `nll_labels` it is
    the model's own forward.
    """

    def _nll_forward(self, input_ids, attention_mask, nll_labels, **unused):
        # No shift of the mask: position t predicts the label at t + 1.
        hidden = self.base_model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state[:, :-1]
        targets = nll_labels[:, 1:]
        rows, positions = (targets != IGNORE).nonzero(as_tuple=True)
        token_nll = chunked_token_nll(
            hidden[rows, positions],
            targets[rows, positions],
            self._logits,
            vocab_size=self.config.get_text_config().vocab_size,
        )
        num_targets = (targets != IGNORE).sum(dim=1)
        nll = per_sample_sum(token_nll, rows, input_ids.shape[0]) / num_targets.clamp(min=1)
        return {"nll": nll, "num_targets": num_targets}

    def _logits(self, hidden, head=None):
        """Logits of hidden states, as the model computes them: head (or another one), scale, soft-capping."""
        # Not through the head's hooks: processes differ in the number of chunks, and ZeRO-3 would gather for each.
        logits = (head or self.get_output_embeddings()).forward(hidden)
        return transform_logits(logits, self.config.get_text_config(decoder=True))


def add_per_sample_nll(model):
    """
    Gives `model` the forward of [`PerSampleNLLMixin`], in place, and checks it against the model's own logits.

    The class keeps its name, so checkpoints are ordinary checkpoints of the original architecture.

    Raises:
        UserError: the model computes its logits in a way that this project does not know.
    """
    if isinstance(model, PerSampleNLLMixin):
        return model
    base = type(model)

    @functools.wraps(base.forward)
    def forward(self, *args, nll_labels=None, **kwargs):
        if nll_labels is None:
            return base.forward(self, *args, **kwargs)
        return self._nll_forward(*args, nll_labels=nll_labels, **kwargs)

    forward.__signature__ = inspect.signature(base.forward)
    model.__class__ = type(
        base.__name__, (PerSampleNLLMixin, base), {"forward": forward, "__module__": base.__module__}
    )
    if not explains_logits(model):
        raise UserError(
            f"{base.__name__} transforms its logits in a way that is not supported as a generator; "
            "use a GPT-2-, Llama-, Qwen-, Gemma-, Mistral- or Granite-type model"
        )
    return model
