# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Answers that cost time or money, kept so that a run that was stopped does not ask for them again."""

import hashlib
import json
from pathlib import Path
from typing import Any

from ddg_hf.errors import UserError


def fingerprint(request: Any) -> str:
    """Returns a name for a request: SHA-256 of its JSON form, keys sorted."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


class Journal:
    """
    A file with one JSON object a line, `{"key": ..., "value": ...}`, that is written as the answers come.

    Every line is flushed. A last line without its end is what a killed run leaves: it is cut off.

    Args:
        path: The file; it is created, with its directory, when the first answer is kept. `None` keeps answers in
            memory only.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """

    def __init__(self, path: str | Path | None = None):
        self._path = None if path is None else Path(path)
        self._values: dict[str, Any] = {}
        if self._path is not None and self._path.exists():
            self._load(self._path)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def keep(self, key: str, value: Any) -> None:
        """Keeps the answer to a request; `value` must be what JSON gives back unchanged."""
        self._values[key] = value
        if self._path is None:
            return
        line = json.dumps({"key": key, "value": value}) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise UserError(f"cannot write the answers to {self._path}: {error.strerror}") from error

    def _load(self, path: Path) -> None:
        try:
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                with path.open("r+b") as file:
                    file.truncate(whole)
        except OSError as error:
            raise UserError(f"cannot read the answers in {path}: {error.strerror}") from error
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                entry = json.loads(line)
                self._values[entry["key"]] = entry["value"]
            except (ValueError, LookupError, TypeError) as error:
                message = f"{path}, line {number}, is not an answer of an earlier run; delete the file to ask again"
                raise UserError(message) from error
