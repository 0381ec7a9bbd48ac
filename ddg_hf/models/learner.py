# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The learner: a text classifier, seen as an encoder that makes features and a head that makes logits of them."""

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModelForSequenceClassification

from ..configs import LearnerArguments
from ..data.samplers import epoch_batch, length_sorted_batches, stable_seed
from ..errors import UserError
from .encoder import check_tokenizer, encode_rows, load_learner_tokenizer, pad_rows
from .loading import LOAD_ERRORS, load_failure
from .tiny import TINY_LEARNERS, tiny_classifier

# Padded tokens of a micro-batch. On a CPU, small ones lose little and save padding; training fills the caches sooner.
TOKEN_BUDGET = 8192
CPU_TOKEN_BUDGET = 1024
CPU_TRAINING_TOKEN_BUDGET = 512


class Learner:
    """
    A sequence classifier whose head can be re-drawn and whose head inputs can be read.

    The head is everything outside the base model: a linear layer (BERT, GPT-2), several modules (DistilBERT,
    ModernBERT, DeBERTa), or one with layers of its own (RoBERTa, ELECTRA).

    Args:
        model (`PreTrainedModel`): a sequence classification model.
        tokenizer (`PreTrainedTokenizerBase`): its tokenizer.
        max_length (`int`): longest input in tokens.
        head (`Sequence[str]`, *optional*): dotted names of the head's modules, where they cannot be recognised.

    Raises:
        UserError: the head cannot be recognised, or the tokenizer makes ids that the model does not have.
    """

    def __init__(self, model, tokenizer, max_length: int = 128, head: Sequence[str] | None = None):
        check_tokenizer(tokenizer, model)
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length
        self.head_modules = find_head(model, head)
        self._is_linear: bool | None = None
        if isinstance(getattr(model, "score", None), nn.Linear):
            # Decoders read the last token that is not padding. On the right, padding changes no other token.
            self._pad_on("right")
            model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        elif hasattr(model, "sequence_summary") and model.config.summary_type == "last":
            self._pad_on("left")  # XLNet reads the last position
        if getattr(model.config, "use_cache", False):
            model.config.use_cache = False  # of no use without generation
        # Clones: `state_dict` alone would alias the live weights.
        self._pretrained = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @classmethod
    def load(cls, args: LearnerArguments, num_labels: int, rows: Sequence[tuple[str, ...]] = (), device=None):
        """
        Loads the learner that `args` names, with a head for `num_labels` classes.

        Args:
            args ([`LearnerArguments`]): id, directory, or one of [`~ddg_hf.models.tiny.TINY_LEARNERS`].
            num_labels (`int`): number of classes.
            rows: real texts; the tokenizer of a tiny learner is trained on them.
            device: where to put it.

        Raises:
            UserError: it cannot be loaded, its tokenizer cannot pad or does not fit it, or its head is not recognised.
        """
        if args.learner in TINY_LEARNERS:
            model, tokenizer = tiny_classifier(rows, num_labels, args.learner)
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
        return cls(model.to(device or "cpu"), tokenizer, args.learner_max_length, args.learner_head)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def token_budget(self) -> int:
        """Padded tokens of a forward pass without a graph, where the caller does not say."""
        return CPU_TOKEN_BUDGET if self.device.type == "cpu" else TOKEN_BUDGET

    # ---- head and parameters ----

    @property
    def head(self) -> nn.Module:
        """The head where it is one module, else its modules as an `nn.ModuleList`."""
        modules = list(self.head_modules.values())
        return modules[0] if len(modules) == 1 else nn.ModuleList(modules)

    @property
    def base(self) -> nn.Module:
        """The model without what its class adds for classification (`base_model_prefix`)."""
        return self.model.base_model

    @property
    def base_is_below_head(self) -> bool:
        """Whether the output of the base model does not depend on the head."""
        inside = set(self.base.parameters())
        return not any(parameter in inside for parameter in self.head_parameters().values())

    @property
    def linear_head(self) -> nn.Linear | None:
        """The head if it is one linear layer, of which a row's logits are the output at one position, else `None`."""
        if not isinstance(self.head, nn.Linear):
            return None
        if self._is_linear is None:
            probe = self.encode([("a",)])
            with torch.no_grad(), evaluation_mode(self.model):
                logits = self.model(**pad_rows(self.tokenizer, probe, [0], self.device)).logits
                self._is_linear = logits.shape == (1, self.head.out_features)
                if self._is_linear:
                    tolerance = 64 * torch.finfo(logits.dtype).eps
                    ours = self.head(self.features(probe, [0]))
                    self._is_linear = torch.allclose(ours, logits, rtol=tolerance, atol=tolerance)
        return self.head if self._is_linear else None

    def head_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters of the head by their names in the model, in the model's order."""
        prefixes = tuple(f"{name}." for name in self.head_modules)
        return {name: value for name, value in self.model.named_parameters() if name.startswith(prefixes)}

    def parameters_for(self, which: str) -> dict[str, nn.Parameter]:
        """
        Parameters of the `head`, or `all`, by their names in the model, in the model's order.

        Raises:
            ValueError: `which` is neither.
        """
        if which not in ("head", "all"):
            raise ValueError(f"parameters must be 'head' or 'all', got '{which}'")
        return self.head_parameters() if which == "head" else dict(self.model.named_parameters())

    def clone(self) -> "Learner":
        """An independent copy: other weights, same tokenizer."""
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model)
        other.head_modules = {name: other.model.get_submodule(name) for name in self.head_modules}
        return other

    def reset(self, *seed_parts: int | str) -> None:
        """Puts the pretrained encoder back and draws a fresh head from `seed_parts`, leaving global RNGs alone."""
        self.model.load_state_dict(self._pretrained)
        self.reset_head(*seed_parts)

    def reset_head(self, *seed_parts: int | str) -> None:
        """
        Draws the whole head afresh from `seed_parts`: linear layers from a normal distribution with the standard
        deviation of the architecture and no bias, norms as the identity.
        """
        config = self.model.config
        std = getattr(config, "initializer_range", getattr(config, "init_std", 0.02))
        generator = torch.Generator().manual_seed(stable_seed(*seed_parts, "head"))
        with torch.no_grad():
            for module in (m for part in self.head_modules.values() for m in part.modules()):
                for name, parameter in module.named_parameters(recurse=False):
                    if name == "bias":
                        parameter.zero_()
                    elif isinstance(module, nn.Linear):
                        parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
                    else:
                        parameter.fill_(1)

    # ---- rows ----

    def _pad_on(self, side: str) -> None:
        self.tokenizer = copy.copy(self.tokenizer)
        self.tokenizer.padding_side = side

    def encode(self, rows: Sequence[tuple[str, ...]]):
        """Tokenises rows, unpadded, into what the model takes. A text without tokens gets a padding token."""
        encoded = encode_rows(self.tokenizer, rows, self.max_length)
        if "token_type_ids" not in inspect.signature(type(self.model).forward).parameters:
            encoded.pop("token_type_ids", None)
        for i in (i for i, ids in enumerate(encoded["input_ids"]) if not ids):
            for key, values in encoded.items():
                values[i] = [{"input_ids": self.tokenizer.pad_token_id, "attention_mask": 1}.get(key, 0)]
        return encoded

    @torch.no_grad()
    def features(self, encoded, index: Sequence[int], token_budget: int | None = None) -> torch.Tensor:
        """
        Inputs of a linear head ([`linear_head`]) for the rows `index` of an encoded data set, dropout off, without
        gradient; where the head is applied to every token, at the token whose logits the model picks.

        Returns:
            `torch.Tensor` of shape `[len(index), H]`.
        """
        # Passed on in place of the logits, so that the model itself picks the token.
        handle = self.head.register_forward_hook(lambda module, inputs, output: inputs[0])
        lengths = [len(encoded["input_ids"][i]) for i in index]
        result_NH = self.head.weight.new_empty((len(index), self.head.in_features))
        try:
            with evaluation_mode(self.model):
                for rows in length_sorted_batches(lengths, token_budget or self.token_budget):
                    batch = pad_rows(self.tokenizer, encoded, [index[r] for r in rows], self.device)
                    result_NH[rows] = self.model(**batch).logits
        finally:
            handle.remove()
        return result_NH

    @torch.no_grad()
    def predict(self, encoded, token_budget: int | None = None) -> torch.Tensor:
        """Predicted label ids of all rows of an encoded data set, `[N]`."""
        lengths = [len(ids) for ids in encoded["input_ids"]]
        result = torch.empty(len(lengths), dtype=torch.long)
        with evaluation_mode(self.model):
            for rows in length_sorted_batches(lengths, token_budget or self.token_budget):
                batch = pad_rows(self.tokenizer, encoded, rows, self.device)
                result[rows] = self.model(**batch).logits.argmax(dim=-1).cpu()
        return result

    def training_step(
        self,
        optimizer,
        encoded,
        labels_N: torch.Tensor,
        batch_size: int,
        step: int,
        *seed_parts,
        token_budget: int | None = None,
    ) -> torch.Tensor:
        """
        One optimizer step on batch `step` of shuffled epochs over the encoded rows; dropout is on.

        The gradient of the batch is summed over micro-batches of rows of similar length. The rows and the dropout
        masks depend on `seed_parts` and `step` alone.

        Args:
            token_budget (`int`, *optional*): padded tokens of a micro-batch; 512 on a CPU, where padding costs more
                than small batches do, and the whole batch elsewhere.

        Returns:
            `torch.Tensor`: scalar, the mean cross-entropy of the batch in nats, detached.
        """
        index = epoch_batch(len(labels_N), batch_size, step, *seed_parts, "batch").tolist()
        lengths = [len(encoded["input_ids"][i]) for i in index]
        if token_budget is None:
            on_cpu = self.device.type == "cpu"
            token_budget = CPU_TRAINING_TOKEN_BUDGET if on_cpu else len(index) * max(lengths)
        devices = [self.device] if self.device.type == "cuda" else []
        self.model.train()
        total = torch.zeros((), device=self.device)
        for k, rows in enumerate(length_sorted_batches(lengths, token_budget)):
            chosen = [index[r] for r in rows]
            batch = pad_rows(self.tokenizer, encoded, chosen, self.device)
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(stable_seed(*seed_parts, "dropout", step, k))
                logits = wide(self.model(**batch).logits)
            loss = F.cross_entropy(logits, labels_N[chosen].to(self.device), reduction="sum") / len(index)
            loss.backward()
            total = total + loss.detach()  # of the type of the loss
        optimizer.step()
        optimizer.zero_grad()
        return total


def wide(logits: torch.Tensor) -> torch.Tensor:
    """Logits in at least float32."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Within it a model is in `eval` mode; after it every module is in the mode in which it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def find_head(model, names: Sequence[str] | None = None) -> dict[str, nn.Module]:
    """
    The modules of a classifier's head by name: those that `names` gives, or all that are not the base model.

    Raises:
        UserError: there are none, or they hold parameters that [`Learner.reset_head`] cannot draw.
    """
    children = {name: child for name, child in model.named_children() if any(True for _ in child.parameters())}
    found = f"{type(model).__name__} (modules: {', '.join(children)})"
    if names:
        modules = dict(model.named_modules())
        unknown = [name for name in names if name not in modules or not name]
        if unknown:
            raise UserError(f"{found} has no module '{unknown[0]}'; correct --learner_head")
        head = {name: modules[name] for name in names}
    else:
        head = {name: child for name, child in children.items() if child is not model.base_model}
        if model.base_model is model or not head:
            raise UserError(f"the head of {found} is not recognised; name its modules with --learner_head a,b")
    for name, part in head.items():
        for inner, module in part.named_modules():
            own = any(True for _ in module.parameters(recurse=False))
            if own and not isinstance(module, nn.Linear) and not type(module).__name__.endswith("Norm"):
                where = f"{name}.{inner}".rstrip(".")
                raise UserError(
                    f"the head of {found} is not recognised: '{where}' ({type(module).__name__}) is neither a linear "
                    "layer nor a norm; name the head's modules with --learner_head a,b"
                )
    return head
