# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Errors that a user can mend."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """
    A mistake in what the user gave: arguments, data or files.

    The message is one line that says what to change. The command line prints it without a traceback and exits with
    code 2; from Python it is an ordinary `ValueError`.
    """


def closest(name: str, candidates: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"` for the candidate nearest to `name`, or an empty string if none is near."""
    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.5)
    return f" Did you mean '{matches[0]}'?" if matches else ""
