# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Prompts as conversations, for models that were tuned to follow instructions."""

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError

from .backend import Message, Prompts
from .prompts import Demonstration, PromptTemplate, Texts
from .templates import SENTINEL

if TYPE_CHECKING:
    from .config import ICLEvaluationArguments

CHATS = ("user", "turns")

logger = logging.getLogger(__name__)


def build_template(
    spec: TaskSpec, arguments: "ICLEvaluationArguments", tokenizer: PreTrainedTokenizerBase | None = None
) -> "PromptTemplate | ChatTemplate":
    """
    Returns the template that the arguments of an evaluation describe.

    Args:
        spec: The task.
        arguments: Its `instruction`, `instruct`, `prompt_template` and `chat`.
        tokenizer: Tokenizer of a model in this process; `None` for one behind a server. Only chats need it.

    Raises:
        UserError: as [`PromptTemplate`] and [`ChatTemplate`] do.
    """
    template = PromptTemplate.from_task(spec, arguments.instruction, arguments.instruct, arguments.prompt_template)
    return template if arguments.chat == "none" else ChatTemplate(template, arguments.chat, tokenizer)


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


def _assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


class ChatTemplate:
    """
    Writes the prompts of a [`PromptTemplate`] as conversations, in the words of the model's own chat template.

    Names of special tokens inside texts, such as `<|im_end|>`, get a space behind their first character, so that they
    stay text; how often that happened is logged once. The answer is the bare label word.

    Args:
        template: How a row is written.
        chat: `user` puts the whole prompt into one message of the user. `turns` makes each demonstration a message of
            the user and the assistant's answer; the instruction is the system message, or, where the chat template has
            none that comes first, stands before the first message.
        tokenizer: Tokenizer of the model, with a chat template. Without it (a model behind a server) only `messages`
            of the prompts are those of the conversation; their texts are the plain prompts. The server's chat template
            is not known then: the instruction stands before the first message, and names of special tokens in texts
            are left as they are.

    Raises:
        UserError: unknown `chat`, a tokenizer without chat template or one whose template refuses the messages, or a
            label word with the name of a special token in it.
    """

    def __init__(self, template: PromptTemplate, chat: str, tokenizer: PreTrainedTokenizerBase | None = None):
        if chat not in CHATS:
            raise UserError(f"unknown chat '{chat}'; use {' or '.join(CHATS)}, or no chat template")
        self.template = template
        self.chat = chat
        self.tokenizer = tokenizer
        self._special: re.Pattern | None = None
        self._has_system, self._space, self._end = False, "", "\n"
        self._broken_up, self._warned = 0, False
        if tokenizer is not None:
            self._inspect()

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return self.template.num_labels

    @property
    def label_words(self) -> tuple[str, ...]:
        """The word or words that stand for each label."""
        return self.template.label_words

    @property
    def terminator(self) -> str:
        """What the chat template writes behind a message of the assistant."""
        return self._end

    def continuations(self) -> list[str]:
        """Returns the answers for all labels."""
        return [self._space + self._word(label) for label in range(self.num_labels)]

    def parse(self, answer: str) -> int:
        """As [`PromptTemplate.parse`]."""
        return self.template.parse(answer)

    def _word(self, label: int) -> str:
        return self.template.continuation(label).strip()

    # What the chat template does

    def _render(self, messages: list[Message], answer_follows: bool = True) -> str:
        try:
            return self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=answer_follows,
                enable_thinking=False,  # templates that know it then leave room for nothing but the answer
            )
        except Exception as error:  # the template is the model's, and may fail in any way that an expression can
            reason = " ".join(str(error).split())[:200]
            advice = "--chat none" if self.chat == "user" else "--chat user or --chat none"
            raise UserError(
                f"the model's chat template fails: {reason or type(error).__name__}; pass {advice}"
            ) from error

    def _inspect(self) -> None:
        """Finds out what the chat template writes around messages."""
        try:
            self.tokenizer.get_chat_template()
        except ValueError as error:
            name = self.tokenizer.name_or_path or "the model"
            raise UserError(f"the tokenizer of '{name}' has no chat template; pass --chat none") from error
        question = [_user("question")]
        before, _, after = self._render([*question, _assistant(SENTINEL)], answer_follows=False).partition(SENTINEL)
        self._end = after or "\n"
        space = before.removeprefix(self._render(question))
        self._space = space if space.isspace() else ""
        self._has_system = self.chat == "turns" and self._system_comes_first()
        self._special = _special_pattern(self.tokenizer, before + after + self._render(question))
        for label in range(self.num_labels):
            if self._special is not None and self._special.search(self._word(label)):
                raise UserError(
                    f"label '{self._word(label)}' holds the name of a special token of the model; rename it with "
                    "--label_names or pass --chat none"
                )

    def _system_comes_first(self) -> bool:
        marks = [f"{SENTINEL}{i}{SENTINEL}" for i in range(3)]
        roles = [{"role": "system", "content": marks[0]}, _user(marks[1]), _assistant("answer"), _user(marks[2])]
        try:
            text = self._render(roles)
        except UserError:  # "System role not supported"
            return False
        return marks[0] in text and text.index(marks[0]) < text.index(marks[1])

    # Prompts

    def _harmless(self, text: str) -> str:
        """Breaks up the names of special tokens in a text."""
        if self._special is None:
            return text
        text, count = self._special.subn(lambda match: f"{match[0][0]} {match[0][1:]}", text)
        self._broken_up += count
        return text

    def _shared(self, demonstrations: Sequence[Demonstration]) -> tuple[list[Message], str]:
        """Returns the messages before that of the query, and the text that stands before the query in it."""
        if self.chat == "user":
            return [], self._harmless(self.template.prefix(demonstrations))
        self.template.check_labels(demonstrations)
        messages, opening = [], ""
        if self.template.instruction and self._has_system:
            messages = [{"role": "system", "content": self._harmless(self.template.instruction)}]
        elif self.template.instruction:
            opening = self._harmless(self.template.instruction) + "\n\n"
        for texts, label in demonstrations:
            messages += [_user(opening + self._query(texts)), _assistant(self._word(label))]
            opening = ""
        return messages, opening

    def _query(self, texts: Texts) -> str:
        return self._harmless(self.template.query(texts).strip())

    def _warn(self) -> None:
        if self._broken_up and not self._warned:
            self._warned = True
            logger.warning(
                "%d names of special tokens in the texts of a prompt got a space inside, so that they stay text",
                self._broken_up,
            )

    def prompts(self, demonstrations: Sequence[Demonstration], queries: Sequence[Texts]) -> Prompts:
        """
        Returns the prompts of Q queries behind the same demonstrations.

        Raises:
            UserError: a demonstration has a label id that the task does not have, or a template fails.
        """
        shared, opening = self._shared(demonstrations)
        contents = [self._query(texts) for texts in queries]
        messages = [[*shared, _user(opening + content)] for content in contents]
        self._warn()
        if self.tokenizer is None:
            plain = self.template.prompts(demonstrations, queries)
            return Prompts(plain.prefix, plain.queries, self.continuations(), self.terminator, messages)
        # One rendering serves all queries, unless the chat template does more with a message than to write it.
        prefix, *end = self._render([*shared, _user(opening + SENTINEL)]).split(SENTINEL)
        texts = [content + "".join(end) for content in contents]
        if len(end) != 1 or [prefix + text for text in texts[:1]] != [self._render(chat) for chat in messages[:1]]:
            prefix, texts = "", [self._render(chat) for chat in messages]
        return Prompts(prefix, texts, self.continuations(), self.terminator, messages, with_special_tokens=True)

    def prompts_each(self, demonstrations_Q: Sequence[Sequence[Demonstration]], queries: Sequence[Texts]) -> Prompts:
        """Returns the prompts of Q queries, each behind its own demonstrations. Raises as [`prompts`] does."""
        messages = []
        for demonstrations, texts in zip(demonstrations_Q, queries, strict=True):
            shared, opening = self._shared(demonstrations)
            messages.append([*shared, _user(opening + self._query(texts))])
        self._warn()
        if self.tokenizer is None:
            plain = self.template.prompts_each(demonstrations_Q, queries)
            return Prompts("", plain.queries, self.continuations(), self.terminator, messages)
        texts = [self._render(chat) for chat in messages]
        return Prompts("", texts, self.continuations(), self.terminator, messages, with_special_tokens=True)


def _special_pattern(tokenizer: PreTrainedTokenizerBase, written: str) -> re.Pattern | None:
    """
    Matches the names of the tokenizer's special tokens, and of added tokens that the chat template writes (a few
    models use such as its marks without calling them special).
    """
    names = set(tokenizer.all_special_tokens)
    for token in tokenizer.added_tokens_decoder.values():
        if token.special or (token.content in written and not token.content.isspace()):
            names.add(token.content)
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest_first))) if names else None
