# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Reads distilled sets in the layout in which DiLM and DDG publish them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .labelled import LABEL, read_labelled
from .reading import check_directory

if TYPE_CHECKING:
    from ..generation import DistilledRow

_SIZE = re.compile(r"dpc_(\d+)(?!\d)")
_FILE = re.compile(r"dataset_(\d+)\.json")


def find_published(directory: Path) -> dict[int, dict[int, Path]]:
    """
    Finds `dpc_<n>*/dataset/dataset_<i>.json` or `dpc_<n>*/dataset_<i>.json` (each a file of JSON Lines, one set).

    Returns:
        For each n, by ascending n, the files by ascending i; nothing if the directory has another layout.

    Raises:
        UserError: two directories for one n, or a directory that holds a symbolic link or a pickle.
    """
    found: dict[int, dict[int, Path]] = {}
    folders: dict[int, Path] = {}
    for entry in sorted(directory.iterdir()):
        match = _SIZE.match(entry.name)
        if match is None or not entry.is_dir():
            continue
        for folder in (entry / "dataset", entry):
            files = _files(folder)
            if not files:
                continue
            for part in (directory, entry, folder):
                check_directory(part)
            n = int(match[1])
            if n in found:
                raise UserError(f"'{folders[n]}' and '{entry}' both hold sets of {n} rows per class; remove one")
            found[n], folders[n] = files, entry
            break
    return dict(sorted(found.items()))


def _files(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    return dict(sorted((int(match[1]), file) for file in folder.iterdir() if (match := _FILE.fullmatch(file.name))))


def read_published(
    published: dict[int, dict[int, Path]],
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    label_names: Sequence[str] | None = None,
) -> tuple[dict[int, list["DistilledRow"]], tuple[str, ...], tuple[str, ...]]:
    """
    Reads the files that [`find_published`] found, as [`~ddg_hf.formats.labelled.read_labelled`] does.

    Returns:
        The rows by n, those of file i with set number i and a loss of NaN (it is not published); the text columns; the
        label names.

    Raises:
        UserError: a file is wrong, has other text columns than the others, or label names are not given.
    """
    from ..generation import DistilledRow  # imports models

    sets: dict[int, list[DistilledRow]] = {}
    columns: tuple[str, ...] | None = None
    for n, files in published.items():
        sets[n] = []
        for i, file in files.items():
            texts = read_labelled(file, text_columns, label_column, label_names)
            if texts.label_names is None:
                raise UserError(f"the names of the labels in '{file}' are not known: give --task or --label_names")
            if columns is None:
                columns, first = texts.text_columns, file
            elif sorted(columns) != sorted(texts.text_columns):
                theirs, ours = ", ".join(texts.text_columns), ", ".join(columns)
                raise UserError(
                    f"'{file}' has the text columns {theirs}, but '{first}' has {ours}: say which with --text_columns"
                )
            for batch in texts.batches:
                rows = zip(*(batch.column(name).to_pylist() for name in (*columns, LABEL)), strict=True)
                sets[n] += [DistilledRow(tuple(row[:-1]), row[-1], i, float("nan")) for row in rows]
    assert columns is not None and label_names is not None, "there is a file"
    return sets, columns, tuple(label_names)
