# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Converts labelled texts from any format to any other."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..data.checks import is_string
from ..data.tasks import TaskSpec, get_task
from ..errors import UserError
from ..provenance import METADATA_FILE, atomic_directory, atomic_file, check_output_dir, run_metadata, write_json
from .delimited import DELIMITERS
from .dilm import find_published, read_published
from .labelled import LABEL, LabelledTexts, described, read_labelled
from .labels import ID_PATTERN
from .reading import FILE_TYPES
from .source import first_true
from .writing import write_batches

STAGE = "convert"


@dataclass(frozen=True)
class Conversion:
    """
    What is converted, and how.

    Attributes:
        source: File or directory with labelled texts ([`~ddg_hf.formats.reading.open_source`]), or a directory of
            published sets ([`~ddg_hf.formats.dilm.find_published`]).
        target: What is written. The end of the name is the format; a name without one is a directory.
        task: Registered task whose text columns and label names the texts have.
        text_columns: Text columns, in the order in which they are written; others are left out. By default all columns
            are kept.
        label_column: Label column of `source`, by default `label` or `labels`.
        label_names: Label names in the order of the ids, by default those that `source` carries.
    """

    source: str
    target: str
    task: str | None = None
    text_columns: tuple[str, ...] | None = None
    label_column: str | None = None
    label_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Converted:
    """What was written: `path`, the number of `rows`, the `columns`, and `label_names` (`None`: not known)."""

    path: Path
    rows: int
    columns: tuple[str, ...]
    label_names: tuple[str, ...] | None


def convert(conversion: Conversion, overwrite: bool = False) -> Converted:
    """
    Converts labelled texts. Rows keep their order; memory does not grow with their number, except for published sets.

    Ids get their names from the task, from `label_names` or from the source. Parquet, Arrow and `datasets` directories
    keep ids and names; in JSON, CSV and TSV a label is written as its name. A directory of published sets becomes a
    directory of distilled sets.

    Args:
        conversion: What is converted, and how.
        overwrite: Whether a file that is there, or a directory that was written before, may be replaced.

    Raises:
        UserError: the arguments do not fit together, the target is there, or the source is wrong in some place, which
            the message names. Nothing is written then.
    """
    source, target = (Path(os.path.expanduser(name)) for name in (conversion.source, conversion.target))
    if conversion.task is not None:
        for name in ("text_columns", "label_names"):
            if getattr(conversion, name) is not None:
                raise UserError(f"--{name} describes data that is no registered task; leave it out with --task")
        spec = get_task(conversion.task)
        conversion = dataclasses.replace(conversion, text_columns=spec.text_columns, label_names=spec.label_names)
    try:
        suffix = _format(target, conversion.target)
        _check_target(target, suffix, overwrite)
        if target.resolve() in source.resolve().parents:
            raise UserError(f"'{target}' holds '{source}' and would be replaced with it; give another directory")
        published = find_published(source) if source.is_dir() else {}
        with _no_new_directories(target.parent):
            if not published:
                return _convert_rows(conversion, source, target, suffix)
            if suffix:
                raise UserError(f"'{source}' holds several sets, which become a directory; leave out '{suffix}'")
            return _convert_published(conversion, published, target)
    except OSError as error:
        raise UserError(f"'{error.filename or target}': {error.strerror or error}") from error


def _format(target: Path, name: str) -> str:
    """Returns the suffix of the format, empty for a directory."""
    suffix = target.suffix.lower()
    if suffix in FILE_TYPES and not name.endswith("/"):
        return suffix
    if suffix and not target.is_dir() and not name.endswith("/"):
        raise UserError(
            f"'{target}' ends in none of {', '.join(FILE_TYPES)}; if it is to be a directory, write '{target}/'"
        )
    return ""


def _check_target(target: Path, suffix: str, overwrite: bool) -> None:
    if not suffix:
        if target.is_file():
            raise UserError(f"'{target}' is a file; give a name that ends in {', '.join(FILE_TYPES)}, or another one")
        check_output_dir(str(target), overwrite, STAGE, replaces=True)
    elif target.is_dir():
        raise UserError(f"'{target}' is a directory; give the name of a file")
    elif target.exists() and not overwrite:
        raise UserError(f"'{target}' exists; pass --overwrite to replace it")


@contextlib.contextmanager
def _no_new_directories(path: Path) -> Iterator[None]:
    """Removes `path` and its parents again on failure, as far as they were not there before."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _convert_rows(conversion: Conversion, source: Path, target: Path, suffix: str) -> Converted:
    texts = read_labelled(source, conversion.text_columns, conversion.label_column, conversion.label_names)
    if not suffix:
        return _convert_to_directory(conversion, texts, target)
    schema, batches = texts.schema, texts.batches
    if suffix not in (".parquet", ".arrow", ".arrows"):
        schema, batches = _readable(texts, suffix)
    with atomic_file(target) as temporary:
        rows = write_batches(temporary, schema, batches, suffix)
    return Converted(target, rows, tuple(schema.names), texts.label_names)


def _convert_to_directory(conversion: Conversion, texts: LabelledTexts, target: Path) -> Converted:
    with atomic_directory(target) as temporary:
        rows = write_batches(temporary, texts.schema, texts.batches, "")
        write_json(temporary / METADATA_FILE, run_metadata(STAGE, [conversion], task=conversion.task, rows=rows))
    return Converted(target, rows, tuple(texts.schema.names), texts.label_names)


def _convert_published(conversion: Conversion, published: dict[int, dict[int, Path]], target: Path) -> Converted:
    from .distilled import write_distilled  # imports models

    sets, columns, names = read_published(
        published, conversion.text_columns, conversion.label_column, conversion.label_names
    )
    if conversion.task is not None:
        spec = get_task(conversion.task)
    else:
        fields = ("Text",) if len(columns) == 1 else tuple(f"Text {i + 1}" for i in range(len(columns)))
        name = Path(os.path.expanduser(conversion.source)).resolve().name
        spec = TaskSpec(name=name, text_columns=columns, label_names=names, field_names=fields)
    metadata = run_metadata(STAGE, [conversion], task=spec.name)
    with atomic_directory(target) as temporary:
        write_distilled(temporary, sets, spec, metadata)
    return Converted(target, sum(map(len, sets.values())), (*columns, "label", "set", "generator_loss"), names)


def _readable(texts: LabelledTexts, suffix: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Schema and batches for a format that cannot tell names from ids: with label names, where they are known."""
    at = texts.schema.get_field_index(LABEL)
    if texts.label_names is None:
        names_in_csv = suffix in DELIMITERS and is_string(texts.schema.field(at).type)
        return texts.schema, _checked_names(texts, at) if names_in_csv else texts.batches
    schema = described(texts.schema.set(at, pa.field(LABEL, pa.string())).remove_metadata(), None)
    names = pa.array(texts.label_names, pa.string())

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in texts.batches:
            columns = batch.columns
            columns[at] = names.take(columns[at])
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return schema, batches()


def _checked_names(texts: LabelledTexts, at: int) -> Iterator[pa.RecordBatch]:
    """The batches. Raises `UserError` at a label that is text, but would be read back from CSV as a number."""
    row = 0
    for batch in texts.batches:
        found = first_true(pc.match_substring_regex(batch.column(at), ID_PATTERN))
        if found is not None:
            raise UserError(
                f"the label in {texts.source.place(row + found)} is the text {batch.column(at)[found].as_py()!r}, "
                "which CSV cannot tell from a number: give --label_names, or write another format"
            )
        yield batch
        row += batch.num_rows
