# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the commands print, and how: everything goes through here, so that `--quiet` and `--json` hold everywhere."""

from .output import (
    OPTIONS,
    add_options,
    draws_progress,
    duration,
    emit_result,
    end_drawing,
    note,
    printable,
    result,
    say,
    session,
    split_options,
    table,
    warn,
)
from .progress import Progress

__all__ = [
    "OPTIONS",
    "Progress",
    "add_options",
    "draws_progress",
    "duration",
    "emit_result",
    "end_drawing",
    "note",
    "printable",
    "result",
    "say",
    "session",
    "split_options",
    "table",
    "warn",
]
