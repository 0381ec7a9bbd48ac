# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A language model that writes demonstrations by itself, from a label's words and without training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import GenerationConfig

from ..configs import ModelArguments
from ..data.samplers import stable_seed
from ..errors import UserError
from .generator import Generator, chunk_size
from .loading import load_causal_lm
from .nll import add_per_sample_nll
from .sampling import sample_rows, up_to_end

# How vocabularies write a line break: as it is, in byte-level BPE, and as a byte of SentencePiece.
_LINE_BREAKS = ("\n", "Ċ", "<0x0A>")


@dataclass
class PromptFormat:
    """
    Rows as lines of text after a prompt such as "negative movie review:"; columns of a pair are lines with names:
    what the model is asked to continue for a column is also how the row is scored.

    Has what [`Generator`] needs of a [`~ddg_hf.models.sequence_format.SequenceFormat`].
    """

    tokenizer: object
    label_names: list[str]
    text_columns: list[str]
    field_names: list[str]
    prompts: list[str]
    max_length: int
    bos_id: int | None
    eos_id: int
    vocabulary: None = None

    @property
    def num_labels(self) -> int:
        return len(self.label_names)

    @property
    def eos(self) -> int:
        return self.eos_id

    @property
    def _line_starts(self) -> list[str]:
        """What the line of each column begins with; that of the first one ends the prompt."""
        return ["", *(f"{name}:" for name in self.field_names[1 : len(self.text_columns)])]

    def prefix(self, label: int) -> list[int]:
        """Ids of the prompt that asks for the first column of a text of `label`."""
        start = [] if self.bos_id is None else [self.bos_id]
        return start + self.tokenizer(self.question(label, 0, ()), add_special_tokens=False).input_ids

    def question(self, label: int, column: int, before: Sequence[str]) -> str:
        """The prompt for a column of a row, of which the columns before it are written."""
        if len(self.text_columns) == 1:
            return self.prompts[label]
        lines = [f"{name}: {text}" for name, text in zip(self.field_names, before, strict=False)]
        return "\n".join([self.prompts[label], *lines, f"{self.field_names[column]}:"])

    def encode_target(self, texts: Sequence[str]) -> list[int]:
        """Ids of a row behind [`prefix`]: a line for each column, of which all but the first begin with their name."""
        lines = [f"{start} {text}\n" for start, text in zip(self._line_starts, texts, strict=True)]
        return self.tokenizer("".join(lines), add_special_tokens=False).input_ids

    def decode(self, target: list[int]) -> tuple[str, ...] | None:
        """Reads a row back; `None` if a column is empty, has another name, or was cut at the greatest length."""
        text = self.tokenizer.decode(target, skip_special_tokens=True)
        lines = text.removesuffix("\n").split("\n")
        if not text.endswith("\n") or len(lines) != len(self.text_columns):
            return None
        if not all(map(str.startswith, lines, self._line_starts)):
            return None
        texts = tuple(map(str.strip, map(str.removeprefix, lines, self._line_starts)))
        return texts if all(texts) and not any("\0" in text for text in texts) else None


class SelfGenerator(Generator):
    """
    The in-context model as its own generator (after SG-ICL, Kim et al., 2022, arXiv 2206.08082).

    SG-ICL writes demonstrations for each query, with the query in the prompt. Here, as for the other generators, sets
    are written once for all queries: the prompt has the label only.

    Args:
        model (`PreTrainedModel`): causal language model.
        tokenizer (`PreTrainedTokenizerBase`): its tokenizer.
        spec (`TaskSpec`): label words, description and columns of the task.
    """

    def __init__(self, model, tokenizer, spec):
        if tokenizer.eos_token_id is None:
            raise UserError("the tokenizer of the language model has no eos_token; set one")
        adds_bos = tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
        format = PromptFormat(
            tokenizer,
            list(spec.label_names),
            list(spec.text_columns),
            list(spec.field_names),
            [f"{word} {spec.description}:" for word in spec.label_words],
            spec.max_length,
            tokenizer.bos_token_id if adds_bos else None,
            tokenizer.eos_token_id,
        )
        add_per_sample_nll(model)
        # `generate` would fill in whatever we do not set (a repetition penalty, min-p).
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        super().__init__(model, tokenizer, format)
        vocabulary = tokenizer.get_vocab()
        breaks = {i for token, i in vocabulary.items() if any(mark in token for mark in _LINE_BREAKS)}
        if not breaks:
            raise UserError("the tokenizer of the language model has no token with a line break, which ends a text")
        self._ends = frozenset({tokenizer.eos_token_id, *breaks})

    @classmethod
    def load(cls, name: str, args: ModelArguments, spec) -> "SelfGenerator":
        """Loads a language model. Raises `UserError` if it cannot be loaded."""
        model, tokenizer = load_causal_lm(name, args)
        return cls(model.eval(), tokenizer, spec)

    def check_task(self, spec) -> None:
        """Nothing to check: it is made for its task."""

    @torch.no_grad()
    def sample(
        self,
        label: int,
        chunk: int,
        *seed_parts: int | str,
        top_p: float = 0.95,
        temperature: float = 1.0,
        model=None,
    ) -> list[list[int]]:
        """See [`Generator.sample`]: rows are made column by column, each a line."""
        assert model is None, "self-generation has no wrapped model"
        rows: list[list[str]] = [[] for _ in range(chunk_size(chunk))]
        for column in range(len(self.format.text_columns)):
            seed = stable_seed(*seed_parts, "label", label, "chunk", chunk, "column", column)
            questions = [self.format.question(label, column, row) for row in rows]
            for row, text in zip(rows, self._lines(questions, top_p, temperature, seed), strict=True):
                row.append(text)
        # A line that did not end, or is empty, makes the row malformed.
        return [self.format.encode_target(row) if all(row) else [self.format.eos_id] for row in rows]

    def _lines(self, questions: Sequence[str], top_p: float, temperature: float, seed: int) -> list[str]:
        """Continues each question to the end of the line; an empty text where there was none in time."""
        start = [] if self.format.bos_id is None else [self.format.bos_id]
        prefixes = [start + self.tokenizer(text, add_special_tokens=False).input_ids for text in questions]
        if all(prefix == prefixes[0] for prefix in prefixes):
            continued = self._continue_one(prefixes[0], len(prefixes), top_p, temperature, seed)
        else:
            continued = self._continue_each(prefixes, top_p, temperature, seed)
        lines = []
        for tokens in continued:
            text = self.tokenizer.decode(tokens, skip_special_tokens=True) if tokens[-1] in self._ends else ""
            lines.append(text.split("\n")[0].strip())
        return lines

    def _continue_one(
        self, prefix: list[int], number: int, top_p: float, temperature: float, seed: int
    ) -> list[list[int]]:
        """`number` continuations of one prefix, up to their ends or the greatest length, as a trained generator's."""
        return sample_rows(
            self.model,
            prefix,
            number,
            max_new_tokens=self.format.max_length,
            eos_ids=sorted(self._ends),
            banned_ids=[],
            top_p=top_p,
            temperature=temperature,
            generator=torch.Generator(self.model.device).manual_seed(seed),
        )

    def _continue_each(
        self, prefixes: list[list[int]], top_p: float, temperature: float, seed: int
    ) -> list[list[int]]:
        """
        A continuation of each of several prefixes, as [`_continue_one`] with other random numbers.

        They are padded on the left, and the nucleus is found by sorting the vocabulary.
        """
        longest = max(map(len, prefixes))
        ids = torch.full((len(prefixes), longest), self.pad_id)
        mask = torch.zeros_like(ids)
        for i, prefix in enumerate(prefixes):
            ids[i, longest - len(prefix) :] = torch.tensor(prefix)
            mask[i, longest - len(prefix) :] = 1
        settings = GenerationConfig(
            do_sample=True,
            top_p=top_p,
            top_k=0,
            temperature=temperature,
            max_new_tokens=self.format.max_length,
            eos_token_id=sorted(self._ends),
            pad_token_id=self.pad_id,
        )
        device = self.model.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            output = self.model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=settings
            )
        return [up_to_end(row, self._ends) for row in output[:, longest:].tolist()]
