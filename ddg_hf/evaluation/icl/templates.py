# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Jinja2 templates of the blocks of a prompt, and what texts may hold before they are written into one."""

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ddg_hf.errors import UserError, closest

# One "name: text" line for each text column, then the label.
DEFAULT_BLOCK = "{% for name, text in fields %}{{ name }}: {{ text }}\n{% endfor %}{{ answer_name }}: {{ label }}"

# Stands for a label while its place is looked for. It has no case, is no white space, and `flatten` leaves none.
SENTINEL = "\x00"

# C0 and C1 control characters and Unicode's own line and paragraph separators
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# These only change the order in which a text is displayed.
_REMOVED = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_SURROGATE = re.compile("[\ud800-\udfff]")


def flatten(text: str) -> str:
    """
    Returns `text` on one line: runs of newlines and other control characters become a space, the ends are stripped.

    A text that could hold a newline could pretend to be another demonstration. Bidirectional embeddings, overrides and
    isolates (U+202A to U+202E, U+2066 to U+2069) are removed: with them a text would look unlike what the model reads.
    Surrogates, which have no UTF-8 form, become U+FFFD. Zero-width characters stay: scripts and emoji need them.
    """
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text).translate(_REMOVED)).strip()


def read_template(value: str) -> str:
    r"""
    Returns the template that `--prompt_template` names: the content of a file, or the value itself if it has `{{` or
    `{%` in it, with a written `\n` as a newline.

    Raises:
        UserError: the value is neither, or the file cannot be read.
    """
    if "{{" in value or "{%" in value:
        return value.replace("\\n", "\n")
    try:
        return Path(value).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(
            f"--prompt_template {value[:80]!r} cannot be read ({_one_line(error)}); give a file of UTF-8 text or a "
            "template with {{ label }} in it"
        ) from error


class _Environment(ImmutableSandboxedEnvironment):
    """No template can run code, reach the file system or include another one."""

    def __init__(self):
        super().__init__(
            undefined=jinja2.StrictUndefined,
            autoescape=False,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )


@functools.lru_cache(maxsize=32)
def _compile(source: str) -> jinja2.Template:
    try:
        return _Environment().from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(
            f"the prompt template has a mistake in line {error.lineno}: {_one_line(error.message or error)}"
        ) from error
    except (RecursionError, MemoryError, ValueError, OverflowError) as error:
        raise _fails(error) from error


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200]


def _fails(error: Exception) -> UserError:
    return UserError(f"the prompt template fails: {_one_line(error) or type(error).__name__}; change the template")


def check_variables(source: str, known: Iterable[str]) -> None:
    """
    Raises `UserError` if the template has a syntax error or uses a variable that is not `known`, even where it is not
    reached.
    """
    _compile(source)
    known = list(known)
    environment = _Environment()
    unknown = jinja2.meta.find_undeclared_variables(environment.parse(source)) - {*known, *environment.globals}
    if unknown:
        name = min(unknown)
        raise UserError(
            f"the prompt template uses '{name}', which does not exist.{closest(name, known)} "
            f"There are {', '.join(known)}."
        )


def render(source: str, variables: Mapping[str, Any]) -> str:
    """Renders a template. Whatever goes wrong in it is a `UserError`."""
    try:
        return _compile(source).render(variables)
    except UserError:
        raise
    except Exception as error:  # the template is the user's, and may fail in any way that an expression can
        raise _fails(error) from error


def split_block(source: str, variables: Mapping[str, Any]) -> tuple[str, str]:
    """
    Renders the block of one row and returns what comes before the label and what comes after it.

    Args:
        source: The template.
        variables: Its variables, without `label`.

    Raises:
        UserError: the template fails, or does not write the label exactly once.
    """
    parts = render(source, {**variables, "label": SENTINEL}).split(SENTINEL)
    if len(parts) != 2:
        times = f"{len(parts) - 1} times" if len(parts) > 2 else "nowhere"
        raise UserError(f"the prompt template writes the label {times}; write {{{{ label }}}} in it exactly once")
    return parts[0], parts[1]


def strip_lines(text: str) -> str:
    """Removes spaces at the ends of lines, such as one behind the name of a field that is empty."""
    return "\n".join(line.rstrip(" \t") for line in text.split("\n"))
