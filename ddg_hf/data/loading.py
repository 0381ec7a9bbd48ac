# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Loads a registered task or any other labelled dataset into one layout, and checks it."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, load_dataset
from datasets.exceptions import DatasetsError

from ..errors import UserError
from .checks import (
    carried_label_names,
    check_columns,
    check_no_nulls,
    check_rows,
    column_values,
    is_string,
    label_array,
    standardise,
)
from .tasks import TaskSpec, get_task
from .toy import make_toy_dataset

logger = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1
# Names under which other people's data has our splits.
_SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
_FILE_TYPES = (".parquet", ".csv", ".tsv", ".json", ".jsonl")
# Columns that loaded data and distilled sets have beside the text columns.
_RESERVED_COLUMNS = ("label", "set", "generator_loss")


def load_data(
    task: str | None = None,
    data_dir: str | Path | None = None,
    dataset: str | Path | None = None,
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    label_names: Sequence[str] | None = None,
    seed: int = 42,
) -> tuple[TaskSpec, DatasetDict]:
    """
    Loads a registered task (`task`) or any other labelled text dataset (`dataset`).

    Where there is no validation split, 10 % of train is set aside for it, stratified by class, and removed from train.

    Args:
        task: Name of a registered task. It is loaded from the Hub, or from `data_dir`; `toy` is built in memory.
        data_dir: Directory that holds `<task>/{train,validation,test}.parquet`.
        dataset: Hub id, directory with one file per split (`train.csv`, `validation.csv`, ...; a lone file is train),
            or one Parquet, CSV, TSV, JSON or JSON Lines file.
        text_columns: Text columns of `dataset`, in order.
        label_column: Label column of `dataset`; `label` by default.
        label_names: Label names of `dataset` in the order of the ids. By default those that the data carries, or the
            sorted distinct labels of train.
        seed: Determines which rows become the validation split where there is none.

    Returns:
        The task and its splits. Each has exactly the text columns (string) and `label` (ClassLabel).

    Raises:
        UserError: The arguments do not fit together, something does not exist or cannot be read, or the data has a
            missing column, an empty split, a missing value, a label that is not among the label names, a class
            without a row in train, or a text column called `label`, `set` or `generator_loss`.
    """
    if (task is None) == (dataset is None):
        raise UserError("Give either 'task' (a registered task) or 'dataset' (any other data), one of the two.")
    if task is not None:
        custom = {"text_columns": text_columns, "label_column": label_column, "label_names": label_names}
        given = [name for name, value in custom.items() if value is not None]
        if given:
            raise UserError(f"'{given[0]}' describes a 'dataset'; the task '{task}' has its own. Leave it out.")
        spec = get_task(task)
        splits, column = _read_task(spec, data_dir)
    else:
        if data_dir is not None:
            raise UserError("'data_dir' goes with 'task'; give the path of the data itself as 'dataset'.")
        if not text_columns:
            raise UserError(f"Say which columns of '{dataset}' hold the text: 'text_columns' is missing.")
        text_columns = (text_columns,) if isinstance(text_columns, str) else tuple(text_columns)
        column = label_column or "label"
        if len({*text_columns, column}) <= len(text_columns):
            raise UserError(
                f"The text columns {', '.join(text_columns)} must differ from each other and from the label."
            )
        reserved = next((name for name in text_columns if name in _RESERVED_COLUMNS), None)
        if reserved is not None:
            raise UserError(
                f"The text column '{reserved}' has the name of a column of distilled sets; rename it in the data."
            )
        splits = _read_dataset(dataset, text_columns, column)
        spec = _custom_spec(_stem(dataset), splits, text_columns, column, label_names)
        splits = _without_unlabelled(splits, column)
    result = {split: standardise(rows, spec, split, column) for split, rows in splits.items()}
    _check_every_class(result["train"], spec)
    if "validation" not in result:
        result["train"], result["validation"] = _set_aside(result["train"], seed)
    return spec, DatasetDict({split: result[split] for split in _SPLIT_NAMES if split in result})


# Reading


def _read_task(spec: TaskSpec, data_dir: str | Path | None) -> tuple[dict[str, Dataset], str]:
    """Returns the raw splits of a registered task and the name of their label column."""
    if spec.hub_id is None:
        return dict(make_toy_dataset()), spec.label_column
    if data_dir is None:
        loaded = _from_hub(spec.hub_id, spec.hub_config, spec.hub_revision, hint=" (give 'data_dir' to read files)")
        missing = [theirs for _, theirs in spec.splits if theirs not in loaded]
        if missing:
            raise UserError(f"'{spec.hub_id}' on the Hub has no split '{missing[0]}', only {', '.join(loaded)}.")
        return {ours: loaded[theirs] for ours, theirs in spec.splits}, spec.hub_label_column or spec.label_column
    folder = Path(data_dir).expanduser() / spec.name
    files = {split: folder / f"{split}.parquet" for split in _SPLIT_NAMES}
    if not files["train"].is_file():
        raise UserError(f"The train split of task '{spec.name}' is expected at '{files['train']}', which is no file.")
    return {split: read_file(file, ()) for split, file in files.items() if file.is_file()}, spec.label_column


def _read_dataset(source: str | Path, text_columns: tuple[str, ...], label: str) -> dict[str, Dataset]:
    """Returns the raw splits of a file, a directory or a Hub repository, under our names; there is always a train."""
    path = Path(source).expanduser()
    if path.is_file():
        return {"train": read_file(path, text_columns, (*text_columns, label))}
    if path.is_dir():
        files = _files_by_split(path)
        required = (*text_columns, label)
        return {split: read_file(file, text_columns, required, split=split) for split, file in files.items()}
    if path.is_absolute() or path.suffix.lower() in _FILE_TYPES or len(path.parts) > 2 or str(source).startswith("."):
        raise UserError(f"'{source}' does not exist; 'dataset' is a file, a directory or a Hub id.")
    loaded = _from_hub(str(source), hint="; no such file or directory is here either")
    splits = {ours: loaded[name] for ours, names in _SPLIT_NAMES.items() for name in names[::-1] if name in loaded}
    if "train" not in splits:
        raise UserError(f"'{source}' on the Hub has no split 'train', only {', '.join(loaded)}.")
    return splits


def _files_by_split(folder: Path) -> dict[str, Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _FILE_TYPES and file.is_file())
    splits = {}
    for split, names in _SPLIT_NAMES.items():
        found = [file for file in files if file.stem.lower() in names]
        if len(found) > 1:
            raise UserError(f"'{folder}' has two files for the split '{split}': {found[0].name} and {found[1].name}.")
        if found:
            splits[split] = found[0]
    if not splits and len(files) == 1:
        return {"train": files[0]}
    if "train" not in splits:
        raise UserError(f"'{folder}' has no train file: expected train{', train'.join(_FILE_TYPES)} or one lone file.")
    return splits


def read_file(
    file: Path,
    text_columns: tuple[str, ...],
    required: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    split: str = "train",
) -> Dataset:
    """
    Reads one file; of text formats the `required` columns and those of `optional` that it has, or all if none is
    named. Each split is read by itself, so that differing label names are seen and not cast away. CSV and TSV do not
    tell numbers from text: columns that are none of `text_columns` hold numbers or truth values if all cells do. A
    missing column is said to be one of `split`.
    """
    from ..formats.reading import open_source  # its modules import this package

    suffix = file.suffix.lower()
    if suffix in _FILE_TYPES and not file.stat().st_size:
        raise UserError(f"'{file}' is empty.")
    try:
        if suffix == ".parquet" and not pq.read_metadata(file).num_rows:
            return Dataset(pq.read_table(file))  # `load_dataset` has no split without rows
        if suffix == ".parquet":
            return load_dataset("parquet", data_files={"train": str(file)}, split="train")
        if suffix in _FILE_TYPES:
            # Not `load_dataset`: Arrow's own reader ends the process where the first value of JSON is null.
            source = open_source(file, (*required, *optional) or None)
            check_columns(Dataset(pa.table({name: [] for name in source.found})), required, split)
            table = pa.Table.from_batches(source.batches(), source.schema)
            for i, name in enumerate(table.column_names):
                if not source.typed and name not in text_columns:
                    table = table.set_column(i, name, _typed(table.column(i)))
            return Dataset(table)
    except UserError:
        raise  # says more than the error that it comes from
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, DatasetsError, pa.ArrowException) as error:
        raise UserError(f"Could not read '{file}': {_first_line(error.__cause__ or error)}") from error
    raise UserError(f"'{file}' is none of the file types that can be read: {', '.join(_FILE_TYPES)}.")


def _typed(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns the cells of a column as whole numbers, truth values or fractions if they all are, else as they are."""
    cells = pc.if_else(pc.equal(cells, ""), None, cells)
    trimmed = pc.replace_substring_regex(pc.utf8_trim_whitespace(cells), r"^\+", "")
    distinct = {cell.lower() for cell in pc.unique(trimmed).to_pylist() if cell is not None}
    if distinct and distinct <= {"true", "false"}:
        return trimmed.cast(pa.bool_())
    if any(cell[:1].isalpha() for cell in distinct):
        return cells  # Arrow would take "nan" and "inf" for fractions
    for kind in (pa.int64(), pa.float64()):
        try:
            return trimmed.cast(kind)
        except pa.ArrowInvalid:
            pass
    return cells


def _from_hub(
    hub_id: str, config: str | None = None, revision: str | None = None, hint: str = ""
) -> Mapping[str, Dataset]:
    try:
        return load_dataset(hub_id, config, revision=revision)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise UserError(f"Could not load '{hub_id}' from the Hub{hint}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _stem(source: str | Path) -> str:
    path = Path(source).expanduser()
    return path.stem if path.is_file() else path.resolve().name if path.is_dir() else path.name


# Describing data that is no registered task


def _custom_spec(
    name: str,
    splits: Mapping[str, Dataset],
    text_columns: tuple[str, ...],
    label_column: str,
    label_names: Sequence[str] | None,
) -> TaskSpec:
    train = splits["train"]
    check_columns(train, (*text_columns, label_column), "train")
    check_rows(train, "train", name)
    check_no_nulls(column_values(train, label_column), label_column, "train")
    # Names that differ from those the data carries are reported when the splits are checked.
    names = tuple(label_names or carried_label_names(train, label_column) or _distinct_labels(train, label_column))
    if len(set(names)) < max(2, len(names)):
        raise UserError(f"Classification needs two or more different labels; '{name}' has {', '.join(names)}.")
    fields = ("Text",) if len(text_columns) == 1 else tuple(f"Text {i + 1}" for i in range(len(text_columns)))
    return TaskSpec(
        name=name,
        text_columns=text_columns,
        label_names=names,
        label_column=label_column,
        splits=tuple((split, split) for split in splits),
        field_names=fields,
    )


def _distinct_labels(train: Dataset, column: str) -> tuple[str, ...]:
    labels = label_array(column_values(train, column), column, "train")
    distinct = sorted(pc.unique(labels).to_pylist())
    if pa.types.is_integer(labels.type) and distinct != list(range(len(distinct))):
        raise UserError(
            f"The labels in column '{column}' of split 'train' are ids from {distinct[0]} to {distinct[-1]}, but "
            f"{len(distinct)} classes have the ids 0 to {len(distinct) - 1}; number them so or give 'label_names'."
        )
    return tuple(str(label) for label in distinct)


def _without_unlabelled(splits: dict[str, Dataset], column: str) -> dict[str, Dataset]:
    """Leaves out validation and test splits whose labels are all -1, which is how the Hub marks hidden labels."""
    kept = {}
    for split, rows in splits.items():
        labels = column_values(rows, column) if column in rows.column_names and rows.num_rows else None
        has_ids = split != "train" and labels is not None and pa.types.is_integer(labels.type)
        if has_ids and pc.max(labels).as_py() == -1:
            logger.warning("Split '%s' is left out: its labels are all -1, that is, hidden.", split)
        else:
            kept[split] = rows
    return kept


def _check_every_class(train: Dataset, spec: TaskSpec) -> None:
    """Raises `UserError` if a class has no row in train: nothing can be learnt about it."""
    counts_K = np.bincount(column_values(train, "label").to_numpy(), minlength=spec.num_labels)
    absent = [name for name, count in zip(spec.label_names, counts_K, strict=True) if not count]
    if absent:
        more = f" (and of {len(absent) - 1} others)" if len(absent) > 1 else ""
        raise UserError(
            f"Split 'train' of '{spec.name}' has no row of class '{absent[0]}'{more}: add some, or leave the class "
            "out of the label names."
        )


# Splitting


def split_indices(labels_N: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Divides rows in two, stratified by class: a pure function of its arguments.

    `round(share * N)` rows (one at least) are set aside. Each class gives its share, rounded by largest remainder, and
    keeps one row at least; a class with a single row therefore gives none.

    Args:
        labels_N: Class ids of the N rows.
        share: Part of the rows that is set aside, between 0 and 1.
        seed: Determines which rows of a class are set aside.

    Returns:
        Indices of the rows that stay and of those set aside, each in ascending order.
    """
    rng = np.random.default_rng(seed)
    classes, sizes = np.unique(labels_N, return_counts=True)
    quotas = share * sizes
    counts = np.floor(quotas).astype(int)
    wanted = max(1, round(share * len(labels_N))) - counts.sum()
    for c in np.argsort(counts - quotas, kind="stable"):
        if wanted > 0 and counts[c] < sizes[c] - 1:
            counts[c] += 1
            wanted -= 1
    aside = [
        rng.permutation(np.flatnonzero(labels_N == label))[:count]
        for label, count in zip(classes, counts, strict=True)
    ]
    aside = np.sort(np.concatenate(aside))
    return np.setdiff1d(np.arange(len(labels_N)), aside), aside


def _set_aside(train: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    stay, aside = split_indices(np.asarray(train["label"]), VALIDATION_SHARE, seed)
    if not len(aside):
        raise UserError("There is no validation split, and train has no class with two rows to take one from.")
    tables = [train.with_format("arrow").select(rows)[:] for rows in (stay, aside)]
    return tuple(
        Dataset.from_dict(dict(zip(t.column_names, t.columns, strict=True)), features=train.features) for t in tables
    )


# Provenance


def fingerprint(dataset: Dataset) -> str:
    """
    Returns the SHA-256 (hexadecimal) of the content of a dataset: column names, values in order, and label names.

    Equal content gives an equal fingerprint, wherever the data is stored and however it is chunked. Columns hold
    strings, numbers or truth values, and no missing ones.
    """
    digest = hashlib.sha256()
    for name in dataset.column_names:
        values = column_values(dataset, name)
        feature = dataset.features[name]
        kind = "string" if is_string(values.type) else "float" if pa.types.is_floating(values.type) else "int"
        header = {"column": name, "kind": kind, "rows": len(values), "names": getattr(feature, "names", None)}
        digest.update(json.dumps(header, sort_keys=True).encode())
        # Length first, then bytes: where one text ends and the next begins is part of the content.
        if kind == "string":
            texts = pc.fill_null(values.cast(pa.large_string()), "").combine_chunks()
            digest.update(pc.fill_null(pc.binary_length(values), -1).to_numpy().astype("<i8").tobytes())
            offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
            if len(texts):
                digest.update(memoryview(texts.buffers()[2] or b"")[offsets[0] : offsets[-1]])
        else:
            digest.update(values.to_numpy().astype("<f8" if kind == "float" else "<i8").tobytes())
    return digest.hexdigest()
