# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Teacher sets, computed once by all processes together and kept on disk."""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..models.encoder import TextEncoder
from ..models.offline import cache_home
from ..provenance import write_json
from ..selection.teacher_sets import build_teacher_set
from ..terminal import Progress
from .processes import Processes
from .trajectory import TeacherSets

# Rows embedded at a time: fixed, so that an embedding does not depend on the number of processes.
CHUNK_SIZE = 1024

logger = logging.getLogger(__name__)


def model_fingerprint(model, tokenizer, *more: Any) -> str:
    """SHA-256 of a model's weights and configuration, its tokenizer's vocabulary, and whatever else is given."""
    config = model.config.to_dict()
    for name in ("_name_or_path", "name_or_path", "transformers_version"):  # where it came from, not what it is
        config.pop(name, None)
    parts = [weights_fingerprint(model.state_dict()), config, sorted(tokenizer.get_vocab().items()), *more]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def weights_fingerprint(state_dict: dict[str, torch.Tensor]) -> str:
    """SHA-256 of names, shapes, types and values of weights."""
    digest = hashlib.sha256()
    for name, value in sorted(state_dict.items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def rows_fingerprint(rows: Sequence[tuple[str, ...]], labels: Sequence[int]) -> str:
    """SHA-256 of labelled rows in their order."""
    digest = hashlib.sha256()
    for row, label in zip(rows, labels, strict=True):
        digest.update(json.dumps([label, *row]).encode())
    return digest.hexdigest()


def teacher_sets(
    encoder: TextEncoder,
    rows: Sequence[tuple[str, ...]],
    labels: Sequence[int],
    num_labels: int,
    num_sets: int,
    per_class: int,
    seed: int,
    processes: Processes,
    show_progress: bool = True,
) -> TeacherSets:
    """
    The teacher sets of [`~ddg_hf.selection.teacher_sets.build_teacher_set`], from the cache where they are in it.

    The cache (`$DDG_HF_HOME/teacher_sets`, by default under `~/.cache/ddg_hf`) is keyed by the data, the weights of
    the encoder and the arguments.

    Args:
        encoder ([`TextEncoder`]): embeds the rows.
        rows, labels: the N training rows and their label ids.
        num_labels (`int`): number of classes.
        num_sets, per_class, seed: how many sets, rows of each class at most, seed of the first set.
        processes ([`Processes`]): who shares embedding and clustering.
        show_progress (`bool`): show a progress bar.

    Returns:
        For each set and label, row indices.

    Raises:
        UserError: a class has no rows.
    """
    arguments = [num_labels, num_sets, per_class, seed]
    model = model_fingerprint(encoder.model, encoder.tokenizer, encoder.max_length)
    key = hashlib.sha256(json.dumps([rows_fingerprint(rows, labels), model, arguments]).encode()).hexdigest()
    path = cache_home() / "teacher_sets" / f"{key[:32]}.json"
    found = _read(path)
    # All or none: a process that found them would not help the others.
    if int(processes.sum(torch.tensor(int(found is None), device=encoder.device))) == 0:
        logger.info("teacher sets: %s, from '%s'", _describe(found), path)
        return found
    start = time.time()
    sets = _compute(encoder, rows, labels, num_labels, num_sets, per_class, seed, processes, show_progress)
    if processes.index == 0:
        try:
            write_json(path, [[rows.tolist() for rows in one] for one in sets])
        except OSError as error:
            logger.warning("the teacher sets cannot be kept in '%s' and will be computed again: %s", path, error)
    logger.info("teacher sets: %s, computed in %.1f s, kept in '%s'", _describe(sets), time.time() - start, path)
    return sets


def _read(path: Path) -> TeacherSets | None:
    if not path.is_file():
        return None
    try:
        return [[np.asarray(rows) for rows in one] for one in json.loads(path.read_text(encoding="utf-8"))]
    except ValueError as error:
        raise UserError(f"'{path}' is damaged; delete it, it is computed again") from error


def _describe(sets: TeacherSets) -> str:
    sizes = [len(rows) for rows in sets[0]]
    size = str(sizes[0]) if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
    return f"{len(sets)} sets of {size} rows for each of {len(sizes)} labels"


def _compute(
    encoder, rows, labels, num_labels: int, num_sets: int, per_class: int, seed: int, processes, show_progress: bool
) -> TeacherSets:
    starts = processes.share(range(0, len(rows), CHUNK_SIZE))
    pieces = []
    with Progress("embedding training rows", len(starts), "chunk", shown=show_progress) as bar:
        for start in starts:
            pieces.append((start, encoder.embed(rows[start : start + CHUNK_SIZE])))
            bar.update()
    pieces = processes.gather(pieces)
    embeddings = np.concatenate([pieces[start] for start in range(0, len(rows), CHUNK_SIZE)])
    mine, share = [], processes.share(range(num_sets))
    with Progress("teacher sets", len(share), "set", shown=show_progress) as bar:
        for k in share:
            mine.append((k, build_teacher_set(embeddings, labels, num_labels, per_class, seed + k)))
            bar.update()
    found = processes.gather(mine)
    return [found[k] for k in range(num_sets)]
