# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The prompt of a query in the template languages of other tools."""

import keyword
import re
from collections.abc import Callable, Sequence

from ..data.tasks import TaskSpec
from ..errors import UserError
from ..evaluation.demonstrations import Demonstration
from ..evaluation.icl.prompts import PromptTemplate, flatten

# Stand for the texts of a row while the places of texts are looked for: private use, which `flatten` leaves as it is.
_MARKS = [chr(code) for code in range(0xE000, 0xE010)]
# Words of the languages, and the answer's own name.
_WORDS = {"true", "false", "none", "null", "env", "label", *keyword.kwlist}


def variable_names(spec: TaskSpec) -> tuple[str, ...]:
    """
    Returns a name for each text column that is a variable in any template language: its own where that is one, else
    `text_<position>`. All differ, from each other and from `label`.
    """
    own = [name if _is_variable(name) else None for name in spec.text_columns]
    names: list[str] = []
    for i, name in enumerate(own):
        if name is None:
            name = f"text_{i + 1}"
            while name in own or name in names:
                name += "_"
        names.append(name)
    return tuple(names)


def _is_variable(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and name.lower() not in _WORDS


def query_template(
    template: PromptTemplate, names: Sequence[str], literal: Callable[[str], str], variable: Callable[[str], str]
) -> str:
    """
    Returns the block of a query, up to where the label word has to come, as a template.

    Args:
        template: How a row is written.
        names: Names of the variables for the texts of a row.
        literal: Writes a text into the template language so that it is nothing but that text.
        variable: Writes the value of a variable, given its name.
    """
    return "".join(literal(part) if isinstance(part, str) else variable(names[part]) for part in _parts(template))


def _parts(template: PromptTemplate) -> list[str | int]:
    """The block of a query as literal texts and numbers of text columns."""
    marks = _MARKS[: len(template.field_names)]
    block = template.query(tuple(marks))
    return [marks.index(part) if part in marks else part for part in re.split(f"([{''.join(marks)}])", block)]


def check_rows(template: PromptTemplate, rows: Sequence[Demonstration], format_name: str) -> None:
    """
    Raises `UserError` if the block of a row is not what its texts make of [`query_template`]: a text is empty, or the
    task's own template has conditions.
    """
    parts = _parts(template)
    for texts, _ in rows:
        flat = [flatten(text) for text in texts]
        if "".join(part if isinstance(part, str) else flat[part] for part in parts) != template.query(texts):
            raise UserError(
                f"{format_name} cannot write the row {texts!r:.80} as the prompt does (is a text empty?); remove it, "
                "or use --format prompt or openai-jsonl"
            )


def block_end(template: PromptTemplate) -> str:
    """Returns what follows the label word of a demonstration, up to the next one: by default an empty line."""
    row = ("x",) * len(template.field_names)
    return template.demonstration(row, 0).removeprefix(template.query(row) + template.continuation(0))


def label_words(template: PromptTemplate) -> list[str]:
    """Returns the words that stand for the labels, as the prompt writes them."""
    return [continuation.strip() for continuation in template.continuations()]


def label_space(template: PromptTemplate) -> str:
    """Returns what stands between the block of a query and the label word: by default a space."""
    return template.continuation(0).removesuffix(label_words(template)[0])


def instruction_block(template: PromptTemplate) -> str:
    """Returns what a prompt begins with: the instruction and an empty line, or nothing."""
    return template.prefix([])


def escape_jinja(text: str) -> str:
    """
    Returns `text` as a Jinja2 or Nunjucks template that writes it. Nothing but a brace can begin something else; and
    Nunjucks fails at the end of a comment that has no beginning.
    """
    return text.replace("{", '{{ "{" }}').replace("#}", '#{{ "}" }}')


def escape_format(text: str) -> str:
    """Returns `text` as a Python format string that writes it."""
    return text.replace("{", "{{").replace("}", "}}")
