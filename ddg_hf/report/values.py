# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Values of files that may hold anything, and how they may be shown."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from ..provenance import published_record, redact

# An absolute path within a text: two slashes or a drive at least, so that "and/or" and "/" are none. It may be the URL
# of a file, and the home directory in that a `~` already.
_PATH = re.compile(
    r"(?:(?<![^\W_])file:(?://(?:localhost)?)?(?:~|/(?=[A-Za-z]:))?|(?<![\w.~:/\\-]))"
    r"(?:/(?:[\w.@+~-]+/)+|[A-Za-z]:[\\/](?:[\w.@+ ~-]+[\\/])*)([\w.@+~-]*)",
)


class Estimate(NamedTuple):
    """A measured value and its 95 % interval; a limit is None where the data say nothing about the spread."""

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def has_interval(self) -> bool:
        """Whether both limits are known."""
        return self.low is not None and self.high is not None

    def negated(self) -> "Estimate":
        """The estimate of the value times -1."""
        return Estimate(-self.mean, *(None if limit is None else -limit for limit in (self.high, self.low)))


def number(value: Any) -> float | None:
    """Returns a finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def estimate(value: Any) -> Estimate | None:
    """Returns `{"mean", "low", "high"}`, or a bare number, as an [`Estimate`], and anything else as None."""
    if not isinstance(value, Mapping):
        mean = number(value)
        return None if mean is None else Estimate(mean)
    mean, low, high = (number(value.get(key)) for key in ("mean", "low", "high"))
    if mean is None:
        return None
    return Estimate(mean, low, high) if None not in (low, high) else Estimate(mean)


def mapping(value: Any) -> Mapping[str, Any]:
    """Returns a mapping, empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Returns the mappings in a list, none for anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """Returns the items of a list as texts, none for anything else."""
    return [str(item) for item in value] if isinstance(value, list) else []


def text(value: Any, default: str = "") -> str:
    """Returns a text, or `default` for anything else."""
    return value if isinstance(value, str) else default


def slug(*parts: str) -> str:
    """Returns names as one that fits a file and an element of a page."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-") or "x"


def without_paths(value: str) -> str:
    """Returns a text without secrets in which of every absolute path the last part is left."""
    return _PATH.sub(lambda match: match[1] or "…", str(redact(published_record(value))))


def model_name(value: Any) -> str:
    """Returns a Hub id as it is, and a directory of this machine by its name."""
    return without_paths(str(published_record({"model": text(value)})["model"]))


def shown_command(words: Sequence[str]) -> list[str]:
    """Returns the words of a command without secrets; of an absolute path the last part is left."""
    result, key = [], ""
    for word in words:
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        if option and not equals:
            key = option.lstrip("-")
            result.append(option)
            continue
        name = option.lstrip("-") if equals else key
        cleaned = published_record({name: _last_part(value)})[name]
        result.append(f"{option}{equals}{without_paths(str(cleaned))}")
        if equals:
            key = ""
    return result


def _last_part(value: str) -> str:
    bare = value.removeprefix("file://")
    absolute = PurePosixPath(bare).is_absolute() or PureWindowsPath(bare).is_absolute()
    return PureWindowsPath(bare).name if absolute and len(bare) > 1 else value
