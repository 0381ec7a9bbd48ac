# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How a labelled text becomes one token sequence of the generator, and how it is read back."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..provenance import write_json
from .vocabulary import TrimmedVocabulary

FORMAT_FILE = "generator_format.json"
SEPARATOR = "<sep>"


@dataclass(frozen=True)
class EncodedText:
    """Token ids of a prefix (no loss) and a target (loss), in the ids that the model uses."""

    prefix: list[int]
    target: list[int]

    def __len__(self) -> int:
        return len(self.prefix) + len(self.target)


@dataclass
class SequenceFormat:
    """
    The sequence `[<bos>] <label_y> text [<sep> text2] <eos>` of a label-conditioned generator (DiLM, section
    3.1), with the beginning-of-sequence token only where the tokenizer itself adds one.

    Parameters:
        label_names (`list[str]`): label names in the order of the ids.
        text_columns (`list[str]`): text columns in the order in which they are written.
        max_length (`int`): longest text, in tokens, over all columns; longer ones are cut and get no end token.
        label_prefix (`str`): `token` for one control token per label, `text` for words such as
            "negative movie review:".
        prefix_texts (`list[str]`): one text per label: the control tokens, or the words.
        bos_id, eos_id, separator_id (`int`): full-vocabulary ids (`bos_id` may be `None`).
        label_ids (`list[int]`): ids of the control tokens (empty with `label_prefix="text"`).
    """

    label_names: list[str]
    text_columns: list[str]
    max_length: int
    label_prefix: str
    prefix_texts: list[str]
    bos_id: int | None
    eos_id: int
    separator_id: int
    label_ids: list[int]

    def __post_init__(self):
        self.tokenizer = None
        self.vocabulary: TrimmedVocabulary | None = None
        self._prefixes: list[list[int]] = []

    def bind(self, tokenizer, vocabulary: TrimmedVocabulary | None = None) -> "SequenceFormat":
        """Attaches the tokenizer and, for a trimmed model, the vocabulary whose local ids are used."""
        self.tokenizer, self.vocabulary = tokenizer, vocabulary
        start = [] if self.bos_id is None else [self.bos_id]
        if self.label_prefix == "token":
            prefixes = [start + [label_id] for label_id in self.label_ids]
        else:
            prefixes = [start + tokenizer(text, add_special_tokens=False).input_ids for text in self.prefix_texts]
        self._prefixes = [self._local(prefix) for prefix in prefixes]
        return self

    @property
    def num_labels(self) -> int:
        return len(self.label_names)

    @property
    def eos(self) -> int:
        """Id of the end token in the ids of the model."""
        return self._local([self.eos_id])[0]

    @property
    def control_ids(self) -> list[int]:
        """Full ids that must not occur inside a text: label tokens, begin, pad, and the separator of single texts."""
        ids = set(self.label_ids)
        ids.update(i for i in (self.bos_id, self.tokenizer.pad_token_id) if i is not None)
        if len(self.text_columns) == 1:
            ids.add(self.separator_id)
        return sorted(ids - {self.eos_id})

    def prefix(self, label: int) -> list[int]:
        """Ids that ask for a text of `label`."""
        return self._prefixes[label]

    def encode(self, texts: tuple[str, ...], label: int) -> EncodedText:
        """Encodes one row. `texts` has one entry per text column."""
        return EncodedText(self._prefixes[label], self._local(self.text_ids(texts)))

    def text_ids(self, texts: tuple[str, ...]) -> list[int]:
        """Full-vocabulary ids of the target: the texts, separated, and the end token unless they were cut."""
        # A text that spells a control token, `<sep>` say, is still text.
        columns = [
            self.tokenizer(" " + text.strip(), add_special_tokens=False, split_special_tokens=True).input_ids
            for text in texts
        ]
        cut = False
        while sum(map(len, columns)) > self.max_length:
            max(columns, key=len).pop()
            cut = True
        ids = columns[0]
        for column in columns[1:]:
            ids = ids + [self.separator_id] + column
        return ids if cut else ids + [self.eos_id]

    def is_covered(self, texts: tuple[str, ...]) -> bool:
        """Whether the vocabulary has every token of a row."""
        return self.vocabulary is None or self.vocabulary.covers(self.text_ids(texts))

    def decode(self, target: list[int]) -> tuple[str, ...] | None:
        """
        Reads a sampled target back; `None` if it is malformed (cut, an empty column, a wrong separator, or a NUL
        character, which no distilled set may have).
        """
        ids = self.vocabulary.to_full(target) if self.vocabulary is not None else list(target)
        if not ids or ids[-1] != self.eos_id:
            return None
        columns: list[list[int]] = [[]]
        for token in ids[:-1]:
            if token == self.separator_id:
                columns.append([])
            else:
                columns[-1].append(token)
        texts = tuple(self.tokenizer.decode(column, skip_special_tokens=True).strip() for column in columns)
        if len(texts) != len(self.text_columns) or not all(texts) or any("\0" in text for text in texts):
            return None
        return texts

    def _local(self, ids: list[int]) -> list[int]:
        return list(ids) if self.vocabulary is None else self.vocabulary.to_local(ids)

    def save(self, directory: str | Path) -> None:
        """Writes `generator_format.json`, with the kept token ids if the vocabulary is trimmed."""
        content = dataclasses.asdict(self)
        kept = None if self.vocabulary is None else self.vocabulary.kept_ids.tolist()
        write_json(Path(directory) / FORMAT_FILE, {**content, "kept_token_ids": kept})

    @classmethod
    def load(cls, directory: str | Path) -> tuple["SequenceFormat", list[int] | None]:
        """Reads `generator_format.json`; returns the format and the kept token ids (or `None`)."""
        path = Path(directory) / FORMAT_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is not valid JSON ({error.msg}); was the generator saved completely?") from error
        kept = content.pop("kept_token_ids", None)
        return cls(**content), kept


def build_format(tokenizer, spec, label_prefix: str = "token", max_length: int | None = None) -> SequenceFormat:
    """
    Adds the control tokens of a task to `tokenizer` and describes the sequences.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): changed in place: `<label_0> ...` and `<sep>` are added.
        spec (`TaskSpec`): labels and text columns.
        label_prefix (`str`): `token` or `text`.
        max_length (`int`, *optional*): longest text in tokens; defaults to the task's.

    Raises:
        UserError: the tokenizer has no end-of-sequence token.
    """
    if tokenizer.eos_token_id is None:
        raise UserError("the generator's tokenizer has no eos_token; set one, so that a generated text can end")
    label_tokens = [f"<label_{i}>" for i in range(spec.num_labels)] if label_prefix == "token" else []
    # Special tokens that the tokenizer already has stay
    tokenizer.add_special_tokens(
        {"extra_special_tokens": label_tokens + [SEPARATOR]}, replace_extra_special_tokens=False
    )
    adds_bos = tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    if label_prefix == "text":
        prefix_texts = [f"{word} {spec.description}:" for word in spec.label_words]
    else:
        prefix_texts = label_tokens
    return SequenceFormat(
        label_names=list(spec.label_names),
        text_columns=list(spec.text_columns),
        max_length=max_length or spec.max_length,
        label_prefix=label_prefix,
        prefix_texts=prefix_texts,
        bos_id=tokenizer.bos_token_id if adds_bos else None,
        eos_id=tokenizer.eos_token_id,
        separator_id=tokenizer.convert_tokens_to_ids(SEPARATOR),
        label_ids=tokenizer.convert_tokens_to_ids(label_tokens),
    )
