# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How demonstrations and queries are written into a prompt."""

import dataclasses
import functools
import logging
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError

from .backend import Prompts
from .templates import DEFAULT_BLOCK, check_variables, flatten, render, split_block, strip_lines

__all__ = ["Demonstration", "PromptTemplate", "Texts", "flatten", "round_robin", "warn_empty_queries"]

Texts = tuple[str, ...]
Demonstration = tuple[Texts, int]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Layout:
    """
    What is the same in every block of a template.

    Attributes:
        space: Spaces between the block of a query and the answer.
        words: The word or words of each label, as the template writes them.
        after: What the template writes behind a label.
        end: What follows a label in a prompt, up to the next block.
        start: What every block begins with.
    """

    space: str
    words: tuple[str, ...]
    after: str
    end: str
    start: str


@dataclass(frozen=True)
class PromptTemplate:
    """
    The text of a prompt: an instruction, demonstrations and a query, by default each a block that ends with an empty
    line.

    ```text
    Classify the sentiment of each movie review as negative or positive.

    Review: a gripping film
    Sentiment: positive

    Review: dull from start to finish
    Sentiment:
    ```

    The answer continues the prompt with a space and the label word; a newline ends it.

    `block` is a Jinja2 template of one demonstration, which writes `{{ label }}` once. A query is the same block up to
    the label. Spaces before the label belong to the answer. What follows the label ends it, and an empty line does if
    that has no newline. The variables are the text columns and the field names (those that are identifiers), `label`,
    `texts`, `fields` (pairs of a field name and its text), `answer_name` and `label_words`. It runs in Jinja2's
    sandbox.

    Attributes:
        instruction: First line of the prompt; none if empty.
        field_names: Names of the text columns.
        answer_name: Name of the label.
        label_words: The word or words that stand for each label, in the order of the label ids.
        text_columns: The columns themselves; needed only by a `block` that uses their names.
        block: The Jinja2 template.

    Raises:
        UserError: `block` has a mistake, uses a variable that does not exist, does not write the label exactly once,
            or writes the same for two labels.
    """

    instruction: str
    field_names: tuple[str, ...]
    answer_name: str
    label_words: tuple[str, ...]
    text_columns: tuple[str, ...] = ()
    block: str = DEFAULT_BLOCK

    def __post_init__(self):
        check_variables(self.block, ["label", *self._variables(("",) * len(self.field_names))])
        _ = self._layout  # a mistake shows here, not at the first prompt

    @classmethod
    def from_task(
        cls, spec: TaskSpec, instruction: str | None = None, instruct: bool = False, block: str | None = None
    ) -> "PromptTemplate":
        """
        Returns the template that `spec` describes.

        Args:
            spec: The task.
            instruction: First line of the prompt instead of the task's; none if empty.
            instruct: Whether the instruction lists the labels.
            block: Jinja2 template of a block instead of the task's.

        Raises:
            UserError: a label word is empty, two labels have the same one, or `block` is not a template.
        """
        words = tuple(flatten(word) for word in spec.label_words)
        for i, word in enumerate(words):
            if not _visible(word):
                raise UserError(f"task {spec.name}: label {i} has no name to put in a prompt")
            # generated answers are compared without regard to case
            twin = next((j for j in range(i) if words[j].casefold() == word.casefold()), None)
            if twin is not None:
                raise UserError(f"task {spec.name}: labels {twin} and {i} are both called '{word}' in prompts")
        template = cls(
            instruction=flatten(spec.instruction if instruction is None else instruction),
            field_names=tuple(flatten(name) for name in spec.field_names),
            answer_name=flatten(spec.answer_name),
            label_words=words,
            text_columns=spec.text_columns,
            block=block or spec.prompt_template or DEFAULT_BLOCK,
        )
        if instruct:
            listed = f"The possible answers are: {', '.join(template._layout.words)}."
            template = dataclasses.replace(template, instruction=f"{template.instruction} {listed}".strip())
        return template

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return len(self.label_words)

    @property
    def terminator(self) -> str:
        """What follows a label in the prompt: by default an empty line and the name of the next block's field."""
        return self._layout.end + self._layout.start

    def _variables(self, texts: Texts) -> dict:
        """The variables of `block` for one row; `texts` are flat."""
        named = {name: text for name, text in zip(self.field_names, texts, strict=True) if name.isidentifier()}
        if self.text_columns:
            named |= {name: text for name, text in zip(self.text_columns, texts, strict=True) if name.isidentifier()}
        return named | {
            "texts": texts,
            "fields": tuple(zip(self.field_names, texts, strict=True)),
            "answer_name": self.answer_name,
            "label_words": self.label_words,
        }

    @functools.cached_property
    def _layout(self) -> _Layout:
        """Finds out, from a row that does not exist, what all blocks have in common."""
        rows = [self._variables((text,) * len(self.field_names)) for text in ("x", "y")]
        before, after = split_block(self.block, rows[0])
        other, other_after = split_block(self.block, rows[1])
        if after != other_after:
            raise UserError("the prompt template writes a text behind {{ label }}; write all texts before it")
        words = tuple(self._word(rows[0], before, after, word) for word in self.label_words)
        for i, word in enumerate(words):
            if not word:
                raise UserError(f"the prompt template writes nothing for label '{self.label_words[i]}'; change it")
            if word.casefold() in [other.casefold() for other in words[:i]]:
                raise UserError(f"the prompt template writes two labels as '{word}'; change it or the label names")
        end = strip_lines(after)
        return _Layout(
            space=before[len(before.rstrip(" \t")) :],
            words=words,
            after=after,
            end=end if end.endswith("\n") else end + "\n\n",
            start=os.path.commonprefix([before, other]).rstrip(" \t"),
        )

    def _word(self, row: dict, before: str, after: str, word: str) -> str:
        """What the template makes of a label word."""
        text = render(self.block, {**row, "label": word})
        if not (text.startswith(before) and text.endswith(after) and len(text) >= len(before) + len(after)):
            raise UserError(
                f"the prompt template changes with the label around it ('{word}'); only {{{{ label }}}} may differ"
            )
        return flatten(text[len(before) : len(text) - len(after)])

    def query(self, texts: Texts) -> str:
        """
        Returns the block of a query; it ends where the label word has to come.

        Raises:
            UserError: the template fails for these texts.
        """
        if len(texts) != len(self.field_names):
            raise ValueError(f"a row has {len(texts)} texts, but the fields are {', '.join(self.field_names)}")
        before, after = split_block(self.block, self._variables(tuple(map(flatten, texts))))
        block = before.rstrip(" \t")
        if after != self._layout.after or before[len(block) :] != self._layout.space:
            raise UserError(
                "the prompt template writes something else next to {{ label }} for other texts; from the space before "
                f"it to the end of the block all must be alike ({flatten(texts[0])[:60]!r})"
            )
        return strip_lines(block)

    def continuation(self, label: int) -> str:
        """Returns the answer for a label id: by default a space and the label word."""
        return self._layout.space + self._layout.words[label]

    def continuations(self) -> list[str]:
        """Returns the answers for all labels."""
        return [self.continuation(label) for label in range(self.num_labels)]

    def demonstration(self, texts: Texts, label: int) -> str:
        """Returns the block of a demonstration, up to where the next one begins."""
        return f"{self.query(texts)}{self.continuation(label)}{self._layout.end}"

    def check_labels(self, demonstrations: Sequence[Demonstration]) -> None:
        """Raises `UserError` if a demonstration has a label id that the task does not have."""
        for _, label in demonstrations:
            if not 0 <= label < self.num_labels:
                raise UserError(
                    f"a demonstration has label {label}, but the task has labels 0 to {self.num_labels - 1}"
                )

    def prefix(self, demonstrations: Sequence[Demonstration]) -> str:
        """
        Returns everything that comes before the query.

        Raises:
            UserError: a demonstration has a label id that the task does not have.
        """
        self.check_labels(demonstrations)
        head = f"{self.instruction}\n\n" if self.instruction else ""
        return head + "".join(self.demonstration(texts, label) for texts, label in demonstrations)

    def prompts(self, demonstrations: Sequence[Demonstration], queries: Sequence[Texts]) -> Prompts:
        """Returns the prompts of Q queries behind the same demonstrations. Raises as [`prefix`] and [`query`] do."""
        return Prompts(
            prefix=self.prefix(demonstrations),
            queries=[self.query(texts) for texts in queries],
            continuations=self.continuations(),
            terminator=self.terminator,
        )

    def prompts_each(self, demonstrations_Q: Sequence[Sequence[Demonstration]], queries: Sequence[Texts]) -> Prompts:
        """Returns the prompts of Q queries, each behind its own demonstrations; nothing is said to be shared."""
        pairs = zip(demonstrations_Q, queries, strict=True)
        return Prompts(
            prefix="",
            queries=[self.prefix(demonstrations) + self.query(texts) for demonstrations, texts in pairs],
            continuations=self.continuations(),
            terminator=self.terminator,
        )

    def parse(self, answer: str) -> int:
        """
        Returns the label id whose word `answer` is, stripped and casefolded, or -1 if it is none of them. Where the
        template goes on behind the label in the same line, the answer may go on likewise.
        """
        answer = answer.strip().casefold()
        words = [word.casefold() for word in self._layout.words]
        if answer in words:
            return words.index(answer)
        behind = self._layout.end.split("\n", 1)[0].casefold()
        return next((i for i, word in enumerate(words) if behind and _continues(answer, word, behind)), -1)


def _continues(answer: str, word: str, behind: str) -> bool:
    """Whether `answer` is `word` and the beginning of `behind`."""
    return answer.startswith(word) and behind.startswith(answer[len(word) :])


def _visible(word: str) -> bool:
    return any(not character.isspace() and unicodedata.category(character) != "Cf" for character in word)


def warn_empty_queries(queries: Sequence[Texts]) -> None:
    """Logs, once for each number, how many queries have no text at all; they are asked all the same."""
    count = sum(not any(map(flatten, texts)) for texts in queries)
    if count:
        _warn_once(f"{count} of {len(queries)} queries have no text")


@functools.lru_cache
def _warn_once(message: str) -> None:
    logger.warning(message)


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
