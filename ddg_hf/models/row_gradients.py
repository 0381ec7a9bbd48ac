# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Weighted sums of per-row gradients of a learner, and their inner products with a direction (DDG, section 3).

Matching needs no gradient g_i of a single row: only sum_i w_i g_i, which is one weighted backward pass, and
a_i = <g_i, u>, which is one forward-mode pass along u. Where the head is one linear layer, both have a closed form in
its inputs ([`~ddg_hf.losses.gradient_matching.head_gradient`]).
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..data.samplers import length_sorted_batches
from ..losses.gradient_matching import directional_derivatives, head_gradient
from .encoder import pad_rows
from .learner import Learner, evaluation_mode, wide

# A graph through a whole model holds far more than the pass without one: its micro-batches are this much smaller, but
# not below a size that keeps a processor busy.
GRAPH_FACTOR, MIN_GRAPH_TOKENS = 8, 512
# Base model outputs of at most this many padded tokens are kept from `gradient` for `derivatives` of the same rows.
HELD_TOKENS = 16384


class RowGradients:
    """
    Gradients g_i of a learner's cross-entropy on N rows, dropout off, without ever forming one of them.

    What has been computed is kept, so an object is good for as long as the learner's weights do not change. Mode,
    gradients and `requires_grad` of the learner and the global random states are left as they were.

    - A head that is one linear layer: its inputs `[N, H]` are computed once, the rest is a closed form.
    - Another head: the base model runs without a graph, and the rest of the model's own `forward` runs on its output.
    - All parameters: the same through the whole model.

    The latter two go by micro-batches of rows of similar length, so that memory does not grow with N.

    Args:
        learner ([`Learner`]): the classifier.
        encoded: an encoded data set, as [`Learner.encode`] returns it.
        index (`Sequence[int]`): the N rows of it.
        labels (`torch.Tensor`): their label ids, `[N]`.
        parameters (`str`): `head` or `all`.
        token_budget (`int`, *optional*): padded tokens of a micro-batch; 1024 on a CPU, 8192 elsewhere. A pass with a
            graph through the whole model takes an eighth of it, or 512.
    """

    def __init__(
        self,
        learner: Learner,
        encoded,
        index: Sequence[int],
        labels: torch.Tensor,
        parameters: str = "head",
        token_budget: int | None = None,
    ):
        self.learner, self.encoded, self.index = learner, encoded, list(index)
        self.labels_N = labels.to(learner.device)
        self.token_budget = token_budget or learner.token_budget
        self._chosen = learner.parameters_for(parameters)
        # Whether the base model's output does not depend on the parameters.
        self._base_is_fixed = parameters == "head" and learner.base_is_below_head
        self._linear = learner.linear_head if parameters == "head" else None
        self._features_NH: torch.Tensor | None = None
        self._held: tuple[list[int], list[tuple[list[int], dict, Any]]] | None = None

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum(parameter.numel() for parameter in self._chosen.values())

    def gradient(self, rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """
        sum_i w_i g_i.

        Args:
            rows (`torch.Tensor`): positions of n rows in `index`.
            weights (`torch.Tensor`): w, `[n]`; they need not sum to 1.

        Returns:
            `torch.Tensor` of shape `[P]`, flattened in the order of `learner.parameters_for(parameters)`. Zeros for no
            rows, and where a parameter has no influence on the loss.
        """
        first = next(iter(self._chosen.values()))
        result_P = torch.zeros(self.size, dtype=first.dtype, device=first.device)
        if not len(rows):
            return result_P
        if self._linear is not None:
            weights = weights.to(first)
            return head_gradient(self._linear, self._features()[rows], self.labels_N[rows], weights)
        tensors = self._detached()
        for name, piece in self._unflatten(result_P).items():
            tensors[name].requires_grad_().grad = piece  # backward adds to it, in place
        with evaluation_mode(self.learner.model):
            for where, batch, base_output in self._micro_batches(rows, with_graph=True):
                with torch.enable_grad():
                    losses = self._losses(tensors, batch, base_output, self.labels_N[rows[where]])
                    (losses * weights[where].to(losses)).sum().backward()
        return result_P

    def derivatives(self, rows: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """
        a_i = <g_i, u>: derivative of each row's loss along a direction in the parameters.

        Args:
            rows (`torch.Tensor`): positions of n rows in `index`.
            direction (`torch.Tensor`): u, `[P]`.

        Returns:
            `torch.Tensor` of shape `[n]`.
        """
        if not len(rows):
            return direction.new_zeros(0)
        if self._linear is not None:
            return directional_derivatives(self._linear, self._features()[rows], self.labels_N[rows], direction)
        result_n = direction.new_zeros(len(rows))
        attention = nullcontext() if self._base_is_fixed else differentiable_attention(self.learner.model)
        with evaluation_mode(self.learner.model), torch.no_grad(), attention, dual_level():
            tensors = self._detached()
            for name, piece in self._unflatten(direction).items():
                tensors[name] = forward_ad.make_dual(tensors[name], piece.to(tensors[name]))
            for where, batch, base_output in self._micro_batches(rows, with_graph=False):
                losses = self._losses(tensors, batch, base_output, self.labels_N[rows[where]])
                tangent = forward_ad.unpack_dual(losses).tangent
                if tangent is not None:  # none of the parameters has an influence
                    result_n[where] = tangent.to(result_n)
        return result_n

    # ---- pieces ----

    def _features(self) -> torch.Tensor:
        """Inputs of the linear head for all N rows, `[N, H]`."""
        if self._features_NH is None:
            self._features_NH = self.learner.features(self.encoded, self.index, self.token_budget)
        return self._features_NH

    def _detached(self) -> dict[str, torch.Tensor]:
        """All parameters of the model, sharing their memory but not their gradients."""
        return {name: parameter.detach() for name, parameter in self.learner.model.named_parameters()}

    def _unflatten(self, flat_P: torch.Tensor) -> dict[str, torch.Tensor]:
        """Views of a vector `[P]`, shaped like the parameters."""
        pieces = flat_P.split([parameter.numel() for parameter in self._chosen.values()])
        return {name: piece.view(p.shape) for (name, p), piece in zip(self._chosen.items(), pieces, strict=True)}

    def _losses(self, tensors, batch, base_output, labels_B: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of each row of a batch as a function of the parameters, `[B]`."""
        learner = self.learner
        held = fixed_output(learner.base, base_output) if base_output is not None else nullcontext()
        with held:
            logits = functional_call(learner.model, tensors, kwargs=batch).logits
        return F.cross_entropy(wide(logits), labels_B, reduction="none")

    def _micro_batches(self, rows: torch.Tensor, with_graph: bool) -> Iterator[tuple[list[int], dict, Any]]:
        """Positions in `rows`, padded inputs, and the base model's output where it is fixed."""
        positions = rows.tolist()
        if self._held is not None and self._held[0] == positions:
            yield from self._held[1]
            return
        self._held = None
        lengths = [len(self.encoded["input_ids"][self.index[i]]) for i in positions]
        budget = self.token_budget
        if with_graph and not self._base_is_fixed:
            budget = min(budget, max(budget // GRAPH_FACTOR, MIN_GRAPH_TOKENS))
        batches = length_sorted_batches(lengths, budget)
        keep = self._base_is_fixed and sum(len(b) * lengths[b[0]] for b in batches) <= HELD_TOKENS
        kept = []
        for where in batches:
            chosen = [self.index[positions[i]] for i in where]
            batch = pad_rows(self.learner.tokenizer, self.encoded, chosen, self.learner.device)
            piece = where, batch, self._base_output(batch) if self._base_is_fixed else None
            if keep:
                kept.append(piece)
            yield piece
        if keep:
            self._held = positions, kept

    @torch.no_grad()
    def _base_output(self, batch) -> Any:
        """What the base model hands to the rest of the classifier."""
        outputs = []
        handle = self.learner.base.register_forward_hook(lambda module, args, output: outputs.append(output))
        try:
            self.learner.model(**batch)
        finally:
            handle.remove()
        assert len(outputs) == 1, "a classifier calls its base model once"
        return outputs[0]


@contextmanager
def fixed_output(module: nn.Module, output: Any):
    """Within it, a module returns `output` whatever it is given, and computes nothing."""
    own = module.__dict__.get("forward")  # where hooks have replaced it already
    module.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


@contextmanager
def dual_level():
    """[`torch.autograd.forward_ad.dual_level`] without the deprecation warning that torch gives at its first use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=DeprecationWarning)
        with forward_ad.dual_level():
            yield


@contextmanager
def differentiable_attention(model):
    """
    Within it, attention has forward-mode derivatives: SDPA's fused kernels have none, so its plain one is used; other
    fused implementations (flash, flex) give way to SDPA or eager attention.
    """
    implementation = model.config._attn_implementation
    fused = implementation not in (None, "eager", "sdpa")
    if fused:
        model.set_attn_implementation("sdpa" if model._supports_sdpa else "eager")
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        if fused:
            model.set_attn_implementation(implementation)
