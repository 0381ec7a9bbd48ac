# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How demonstrations and queries are written into a prompt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError

Texts = tuple[str, ...]
Demonstration = tuple[Texts, int]

# C0 and C1 control characters and Unicode's own line and paragraph separators
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def flatten(text: str) -> str:
    """Returns `text` on one line: runs of newlines and other control characters become a space, the ends are stripped.

    A text that could hold a newline could pretend to be another demonstration.
    """
    return _CONTROL.sub(" ", text).strip()


@dataclass(frozen=True)
class PromptTemplate:
    """
    The text of a prompt: an instruction, demonstrations and a query, each a block that ends with an empty line.

    ```text
    Classify the sentiment of each movie review as negative or positive.

    Review: a gripping film
    Sentiment: positive

    Review: dull from start to finish
    Sentiment:
    ```

    The answer continues the prompt with a space and the label word; a newline ends it.

    Attributes:
        instruction: First line of the prompt; none if empty.
        field_names: Names of the text columns.
        answer_name: Name of the label.
        label_words: The word or words that stand for each label, in the order of the label ids.
    """

    instruction: str
    field_names: tuple[str, ...]
    answer_name: str
    label_words: tuple[str, ...]

    @classmethod
    def from_task(cls, spec: TaskSpec) -> "PromptTemplate":
        """
        Returns the template that `spec` describes.

        Raises:
            UserError: a label word is empty, or two labels have the same one.
        """
        words = tuple(flatten(word) for word in spec.label_words)
        for i, word in enumerate(words):
            if not word:
                raise UserError(f"task {spec.name}: label {i} has no name to put in a prompt")
            # generated answers are compared without regard to case
            twin = next((j for j in range(i) if words[j].casefold() == word.casefold()), None)
            if twin is not None:
                raise UserError(f"task {spec.name}: labels {twin} and {i} are both called '{word}' in prompts")
        return cls(
            instruction=flatten(spec.instruction),
            field_names=tuple(flatten(name) for name in spec.field_names),
            answer_name=flatten(spec.answer_name),
            label_words=words,
        )

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return len(self.label_words)

    @property
    def terminator(self) -> str:
        """What follows a label in the prompt: the empty line and the name of the next block's first field."""
        return f"\n\n{self.field_names[0]}:"

    def query(self, texts: Texts) -> str:
        """Returns the block of a query; it ends where the label word has to come."""
        if len(texts) != len(self.field_names):
            raise ValueError(f"a row has {len(texts)} texts, but the fields are {', '.join(self.field_names)}")
        lines = [f"{name}: {flatten(text)}".rstrip() for name, text in zip(self.field_names, texts, strict=True)]
        return "\n".join(lines) + f"\n{self.answer_name}:"

    def continuation(self, label: int) -> str:
        """Returns the answer for a label id: a space and the label word."""
        return f" {self.label_words[label]}"

    def continuations(self) -> list[str]:
        """Returns the answers for all labels."""
        return [self.continuation(label) for label in range(self.num_labels)]

    def demonstration(self, texts: Texts, label: int) -> str:
        """Returns the block of a demonstration."""
        return f"{self.query(texts)}{self.continuation(label)}\n\n"

    def prefix(self, demonstrations: Sequence[Demonstration]) -> str:
        """
        Returns everything that comes before the query.

        Raises:
            UserError: a demonstration has a label id that the task does not have.
        """
        for _, label in demonstrations:
            if not 0 <= label < self.num_labels:
                raise UserError(
                    f"a demonstration has label {label}, but the task has labels 0 to {self.num_labels - 1}"
                )
        head = f"{self.instruction}\n\n" if self.instruction else ""
        return head + "".join(self.demonstration(texts, label) for texts, label in demonstrations)

    def parse(self, answer: str) -> int:
        """Returns the label id whose word `answer` is, stripped and casefolded, or -1 if it is none of them."""
        answer = answer.strip().casefold()
        return next((i for i, word in enumerate(self.label_words) if word.casefold() == answer), -1)


def round_robin(labels_N: Sequence[int], rounds: int, seed: int | Sequence[int], num_labels: int) -> list[int]:
    """
    Orders demonstrations in rounds, one of each label in each round, as in LongICLBench (arXiv 2404.02060).

    The first `rounds` rows of each label, in the order in which they are given, take part. The seed decides in which
    round each of them comes and the order of the labels inside each round.

    Args:
        labels_N: Label ids of the rows.
        rounds: Number of rounds R.
        seed: Seed of the order.
        num_labels: Number of classes K.

    Returns:
        R x K indices into the rows.

    Raises:
        UserError: a label has fewer than R rows.
    """
    labels_N = np.asarray(labels_N)
    rng = np.random.default_rng(seed)
    columns = []
    for label in range(num_labels):
        rows = np.flatnonzero(labels_N == label)
        if len(rows) < rounds:
            advice = f"pass --rounds {len(rows)} or less" if len(rows) else "add some"
            raise UserError(
                f"{rounds} rounds need {rounds} demonstrations of label {label}, but there are {len(rows)}; {advice}"
            )
        columns.append(rng.permutation(rows[:rounds]))
    rows_RK = np.stack(columns, axis=1)
    return [int(row) for rows_K in rows_RK for row in rng.permutation(rows_K)]
