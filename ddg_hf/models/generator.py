# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The generator: a causal language model that writes a text for a label."""

import copy
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig

from ..configs import GeneratorArguments, ModelArguments
from ..data.samplers import length_sorted_batches, stable_seed
from ..errors import UserError
from .loading import load_causal_lm
from .nll import IGNORE, add_per_sample_nll
from .sampling import sample_rows
from .sequence_format import FORMAT_FILE, EncodedText, SequenceFormat, build_format
from .vocabulary import TrimmedVocabulary, outside_probability

# Rows of the first chunks of a random stream; later ones have as many as the last. They grow, so that few texts cost
# few samples, and do not depend on how many are asked for: more texts begin with the same ones.
CHUNK_SIZES = (16, 16, 32, 64)


def chunk_size(chunk: int) -> int:
    """Texts in a chunk of [`Generator.sample`]."""
    return CHUNK_SIZES[min(chunk, len(CHUNK_SIZES) - 1)]


def num_chunks(number: int) -> int:
    """The number of chunks that have at least `number` texts together."""
    whole = sum(CHUNK_SIZES)
    if number > whole:
        return len(CHUNK_SIZES) + -(-(number - whole) // CHUNK_SIZES[-1])
    return next(chunks for chunks in range(len(CHUNK_SIZES) + 1) if sum(CHUNK_SIZES[:chunks]) >= number)


class Generator:
    """
    A causal language model with the sequence format of a task.

    Attributes:
        model (`PreTrainedModel` or `PeftModel`): its forward takes `nll_labels` ([`~ddg_hf.models.nll`]).
        tokenizer (`PreTrainedTokenizerBase`): with the control tokens of the task.
        format ([`SequenceFormat`]): how rows are written and read.
        vocabulary ([`TrimmedVocabulary`] or `None`): the tokens that the model is restricted to.
    """

    def __init__(self, model, tokenizer, format: SequenceFormat):
        self.model, self.tokenizer, self.format = model, tokenizer, format

    @property
    def vocabulary(self) -> TrimmedVocabulary | None:
        return self.format.vocabulary

    @property
    def pad_id(self) -> int:
        """Id that fills tensors. Padding is masked by length, so any id will do."""
        return self.format.eos

    # ---- construction ----

    @classmethod
    def create(
        cls,
        args: GeneratorArguments,
        spec,
        rows: Sequence[tuple[str, ...]],
        label_prefix: str = "token",
        label_initialization: str = "name",
        trim_vocabulary: bool = True,
        max_length: int | None = None,
        seed: int = 42,
    ) -> "Generator":
        """
        Makes a generator for a task out of a pretrained causal language model, or a tiny one from scratch.

        Args:
            args ([`GeneratorArguments`]): the model.
            spec (`TaskSpec`): labels, columns, maximum length.
            rows (`Sequence[tuple[str, ...]]`): training texts; they say which tokens a trimmed vocabulary keeps, and
                train the tokenizer of a tiny model.
            label_prefix, max_length: see [`~ddg_hf.models.sequence_format.build_format`].
            label_initialization (`str`): `name`: a label token starts from the mean embedding of its label's words;
                `bos`: from the embedding of the begin (or end) token, the same for all labels, as in DiLM.
            trim_vocabulary (`bool`): keep only the tokens that occur in `rows`, and the special ones.
            seed (`int`): seed of random weights.

        Raises:
            UserError: no generator is named, or it cannot be loaded.
        """
        if (args.generator is None) == (args.generator_config is None):
            raise UserError("name one generator: --generator ID_OR_DIRECTORY, or --generator_config tiny")
        if args.generator_config == "tiny":
            from .tiny import tiny_generator

            model, tokenizer = tiny_generator(rows, seed=seed)
        else:
            model, tokenizer = load_causal_lm(args.generator, args)
        known = len(tokenizer)
        format = build_format(tokenizer, spec, label_prefix, max_length)
        if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        if len(tokenizer) > known:
            _initialize_new_tokens(model, tokenizer, format, known, spec.label_words, label_initialization)
        format.bind(tokenizer)
        _check_length(model, format)
        vocabulary = None
        if trim_vocabulary:
            vocabulary = TrimmedVocabulary(model, _used_ids(tokenizer, format, rows), _unknown_id(tokenizer))
        format.bind(tokenizer, vocabulary)
        return cls(_prepared(model, tokenizer, format, args), tokenizer, format)

    @classmethod
    def load(cls, name: str, args: ModelArguments, restrict_vocabulary: bool = True) -> "Generator":
        """
        Loads a generator that [`save_pretrained`] wrote.

        Args:
            name (`str`): directory or Hub id.
            args ([`ModelArguments`]): how the model is loaded.
            restrict_vocabulary (`bool`): restrict the softmax to the tokens kept in pretraining, if it was trimmed.

        Raises:
            UserError: it is not a generator of this project.
        """
        directory = name if os.path.isdir(name) else _download_format(name, args.revision)
        if not (Path(directory) / FORMAT_FILE).is_file():
            raise UserError(f"'{name}' has no {FORMAT_FILE}: it is not a pretrained generator; run `ddg-hf pretrain`")
        format, kept = SequenceFormat.load(directory)
        model, tokenizer = load_causal_lm(name, args)
        vocabulary = None
        if kept is not None and restrict_vocabulary:
            vocabulary = TrimmedVocabulary(model, kept, _unknown_id(tokenizer))
        format.bind(tokenizer, vocabulary)
        return cls(_prepared(model, tokenizer, format, args), tokenizer, format)

    def check_task(self, spec) -> None:
        """Raises `UserError` unless the generator was pretrained for the labels and columns of `spec`."""
        ours = (self.format.label_names, self.format.text_columns)
        theirs = (list(spec.label_names), list(spec.text_columns))
        if ours != theirs:
            raise UserError(
                f"the generator was pretrained for labels {ours[0][:5]} and columns {ours[1]}, "
                f"the task has labels {theirs[0][:5]} and columns {theirs[1]}; pretrain one for this task"
            )

    def save_pretrained(self, directory: str | os.PathLike, state_dict=None, model=None) -> None:
        """
        Writes an ordinary checkpoint: full vocabulary, tokenizer, `generation_config.json`, `generator_format.json`.

        LoRA adapters are merged into the weights.

        Args:
            directory (`str`): where to.
            state_dict (*optional*): weights, where the model itself does not hold them all (FSDP, ZeRO).
            model (*optional*): the model, where it is wrapped.
        """
        model = model if model is not None else self.model
        if hasattr(model, "merge_and_unload"):
            model, state_dict = copy.deepcopy(model).merge_and_unload(), None
        state_dict = state_dict if state_dict is not None else model.state_dict()
        config = model.config
        if self.vocabulary is not None:
            state_dict = self.vocabulary.full_state_dict(state_dict)
            model.config = self.vocabulary.full_config(config)
        generation_config, model.generation_config = model.generation_config, self.generation_config()
        try:
            model.save_pretrained(directory, state_dict=state_dict)
        finally:
            model.config, model.generation_config = config, generation_config
        self.tokenizer.save_pretrained(directory)
        self.format.save(directory)

    def generation_config(self, local: bool = False, **overrides) -> GenerationConfig:
        """Sampling settings of DiLM (top-p 0.95, no top-k), control tokens banned; `local` in the model's own ids."""
        banned = self.format.control_ids
        eos, pad = self.format.eos_id, self.tokenizer.pad_token_id
        if local:
            banned = self.format._local(banned)
            eos = self.format.eos
            pad = self.pad_id
        settings = {"do_sample": True, "top_p": 0.95, "top_k": 0, "temperature": 1.0, **overrides}
        return GenerationConfig(
            suppress_tokens=banned or None, eos_token_id=eos, pad_token_id=eos if pad is None else pad, **settings
        )

    # ---- losses ----

    def collate(self, samples: Sequence[EncodedText]) -> dict[str, torch.Tensor]:
        """Pads samples to `input_ids`, `attention_mask` and `nll_labels` of shape `[B, longest]`."""
        length = max(map(len, samples))
        input_ids = torch.full((len(samples), length), self.pad_id)
        attention_mask = torch.zeros((len(samples), length), dtype=torch.long)
        nll_labels = torch.full((len(samples), length), IGNORE)
        for i, sample in enumerate(samples):
            n = len(sample)
            input_ids[i, :n] = torch.tensor(sample.prefix + sample.target)
            attention_mask[i, :n] = 1
            nll_labels[i, len(sample.prefix) : n] = torch.tensor(sample.target)
        return {"input_ids": input_ids, "attention_mask": attention_mask, "nll_labels": nll_labels}

    @torch.no_grad()
    def nll(self, samples: Sequence[EncodedText], token_budget: int = 4096) -> torch.Tensor:
        """Mean NLL per target token of each sample, `[B]`, float32, nats, dropout off, without gradient."""
        was_training = self.model.training
        self.model.eval()
        result = torch.empty(len(samples))
        for index in length_sorted_batches([len(s) for s in samples], token_budget):
            batch = self.collate([samples[i] for i in index])
            batch = {key: value.to(self.model.device) for key, value in batch.items()}
            result[index] = self.model(**batch)["nll"].float().cpu()
        self.model.train(was_training)
        return result

    @torch.no_grad()
    def outside_probability(self, samples: Sequence[EncodedText]) -> float:
        """
        Mean probability that the full softmax gives to tokens that the trimmed vocabulary lacks, over the targets of
        `samples`: what the restriction takes away.
        """
        assert self.vocabulary is not None, "the vocabulary is not trimmed"
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        was_training = model.training
        model.eval()
        head = self.vocabulary.full_head(model)
        kept = torch.as_tensor(self.vocabulary.kept_ids, device=model.device)
        total = count = 0
        for sample in samples:
            batch = {key: value.to(model.device) for key, value in self.collate([sample]).items()}
            labels = batch.pop("nll_labels")
            hidden = model.base_model(**batch, use_cache=False).last_hidden_state[:, :-1][labels[:, 1:] != IGNORE]
            outside = outside_probability(model._logits(hidden, head).float(), kept)
            total, count = total + outside.sum().item(), count + len(outside)
        model.train(was_training)
        return total / count

    # ---- sampling ----

    def sample(
        self,
        label: int,
        chunk: int,
        *seed_parts: int | str,
        top_p: float = 0.95,
        temperature: float = 1.0,
        model=None,
    ) -> list[list[int]]:
        """
        Samples one chunk of texts of a label, as many as [`chunk_size`] says.

        The random stream depends on `seed_parts`, `label` and `chunk` alone, so processes can share the chunks among
        them and together draw what one process would. Global random state is left as it was.

        Args:
            label (`int`): label id.
            chunk (`int`): index of the chunk.
            seed_parts: seed, generation round, ...
            top_p, temperature (`float`): nucleus sampling; there is no top-k.
            model (*optional*): unwrapped model to sample with.

        Returns:
            `list[list[int]]`: targets in the model's ids, each ending in the end token unless it was cut at the
            format's maximum length.
        """
        model = model if model is not None else self.model
        was_training = model.training
        model.eval()
        config = self.generation_config(local=True)
        separators = len(self.format.text_columns) - 1
        seed = stable_seed(*seed_parts, "label", label, "chunk", chunk)
        rows = sample_rows(
            model,
            self.format.prefix(label),
            chunk_size(chunk),
            max_new_tokens=self.format.max_length + separators + 1,
            eos_ids=[config.eos_token_id],
            banned_ids=config.suppress_tokens or [],
            top_p=top_p,
            temperature=temperature,
            generator=torch.Generator(model.device).manual_seed(seed),
        )
        model.train(was_training)
        return rows


def _check_length(model, format: SequenceFormat) -> None:
    """Raises `UserError` if the longest sequence has more tokens than the model has positions."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    around = max(len(format.prefix(label)) for label in range(format.num_labels)) + len(format.text_columns)
    if positions is not None and around + format.max_length > positions:
        raise UserError(
            f"texts of up to {format.max_length} tokens do not fit into the {positions} positions of the generator; "
            f"pass --max_length {positions - around} or less"
        )


def _initialize_new_tokens(model, tokenizer, format, known: int, label_words, initialization: str) -> None:
    """Sets the embeddings of the added tokens: labels by name or as the begin token, the separator as the mean."""
    ids = dict(enumerate(format.label_ids))
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    weights = {id(e.weight): e.weight for e in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for weight in weights.values():
            weight[known : len(tokenizer)] = weight[:known].float().mean(0).to(weight.dtype)
            for label, token in ids.items():
                words = tokenizer(" " + label_words[label], add_special_tokens=False).input_ids
                source = words if initialization == "name" and words else [start]
                weight[token] = weight[source].float().mean(0).to(weight.dtype)


def _used_ids(tokenizer, format: SequenceFormat, rows: Iterable[tuple[str, ...]]) -> set[int]:
    """Full ids of the tokens in the training texts, the prefixes, and the special tokens."""
    used = set(tokenizer.all_special_ids) | {format.eos_id, format.separator_id} | set(format.label_ids)
    for label in range(format.num_labels):
        used.update(format.prefix(label))
    for texts in rows:
        used.update(format.text_ids(texts))
    return used


def _prepared(model, tokenizer, format: SequenceFormat, args: ModelArguments):
    """Adds the per-sample loss and, if asked to, adapters; forgets the model's own generation settings."""
    add_per_sample_nll(model)
    # `generate` would fill in whatever we do not set (a repetition penalty, ids of the full vocabulary).
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _add_adapters(model, format, args)


def _unknown_id(tokenizer) -> int | None:
    """The id that stands for unknown tokens; none where it means something else too, as in GPT-2."""
    meaningful = (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id)
    return None if tokenizer.unk_token_id in meaningful else tokenizer.unk_token_id


def _add_adapters(model, format: SequenceFormat, args: ModelArguments):
    """Wraps the model in LoRA adapters if asked to; the label tokens' embeddings stay trainable."""
    if not args.use_peft:
        if args.load_in_4bit:
            model.requires_grad_(False)
        return model
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise UserError("--use_peft needs the `peft` package: pip install 'ddg_hf[peft]'") from error
    modules = args.lora_target_modules
    if modules is not None and modules != "all-linear":
        modules = [name.strip() for name in modules.split(",")]
    control = format._local([*format.label_ids, format.separator_id])
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=args.lora_r,
        lora_alpha=args.lora_alpha,
        lora_dropout=args.lora_dropout,
        target_modules=modules,
        trainable_token_indices=control,
    )
    return get_peft_model(model, config)


def _download_format(name: str, revision: str) -> str:
    """Fetches the format file of a generator on the Hub; returns the directory that holds it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return os.path.dirname(hf_hub_download(name, FORMAT_FILE, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise UserError(f"'{name}' is neither a directory nor a generator on the Hub that can be reached") from error
