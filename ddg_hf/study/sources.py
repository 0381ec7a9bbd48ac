# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a study uses that it has not made itself: models, and sets that were made elsewhere."""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ..data.rows import set_fingerprint

_PIECE = 1 << 16
"""Bytes that are read at the beginning and at the end of a file of a model."""


@dataclass(frozen=True)
class GivenSets:
    """
    Sets that were made elsewhere.

    Attributes:
        counts: Number of sets by rows per class.
        fingerprint: SHA-256 of their content.
    """

    counts: dict[int, int]
    fingerprint: str


@functools.lru_cache
def given_sets(source: str) -> GivenSets:
    """
    Reads sets to say what there is.

    Args:
        source: Directory or Hub id.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    from ..evaluation.demonstrations import available_dpc
    from ..evaluation.demonstrations.described import describe_distilled
    from ..evaluation.demonstrations.distilled import load_distilled

    counts, digest = {}, hashlib.sha256()
    for dpc in available_dpc(source):
        # Files of DiLM do not say what their labels are called.
        files = sorted((Path(source).expanduser() / f"dpc_{dpc}").glob("dataset_*.json"))
        if files:
            counts[dpc] = len(files)
            for file in files:
                digest.update(file.read_bytes())
            continue
        members = load_distilled(source, f"dpc_{dpc}", describe_distilled(source))
        counts[dpc] = len(members)
        digest.update("".join(f"{m.set_id} {set_fingerprint(m.rows)}\n" for m in members).encode())
    return GivenSets(counts, digest.hexdigest())


@functools.lru_cache
def content_fingerprint(name: str) -> str:
    """
    What a model is, wherever it lies: of a directory a SHA-256 of the names and sizes of its files and of their
    beginnings and ends, without what is hidden, such as the notes of a download; otherwise the name itself.
    """
    if not os.path.isdir(name):
        return name
    digest = hashlib.sha256()
    root = Path(name)
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        if any(part.startswith(".") for part in file.relative_to(root).parts):
            continue
        size = file.stat().st_size
        digest.update(f"{file.relative_to(root)} {size}\n".encode())
        with file.open("rb") as content:
            digest.update(content.read(_PIECE))
            content.seek(max(0, size - _PIECE))
            digest.update(content.read(_PIECE))
    return digest.hexdigest()
