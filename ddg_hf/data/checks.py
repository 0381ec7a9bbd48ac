# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Brings one raw split into the common layout, checking every column on the way."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, Features, LargeList, List, Value

from ..errors import UserError, closest
from .tasks import TaskSpec


def carried_label_names(rows: Dataset, column: str) -> tuple[str, ...] | None:
    """Returns the label names that a column carries (also a column of lists), or `None`."""
    feature = rows.features[column]
    if isinstance(feature, (List, LargeList)):
        feature = feature.feature
    return tuple(feature.names) if isinstance(feature, ClassLabel) else None


def column_values(rows: Dataset, name: str) -> pa.ChunkedArray:
    """Returns the values of one column, in the order of the rows."""
    return rows.select_columns([name]).with_format("arrow")[:].column(name)


def check_rows(rows: Dataset, split: str, name: str) -> None:
    """Raises `UserError` if the split is empty."""
    if not rows.num_rows:
        raise UserError(f"Split '{split}' of '{name}' has no rows.")


def check_columns(rows: Dataset, columns: Sequence[str], split: str) -> None:
    """Raises `UserError` if the split lacks one of the columns."""
    for column in columns:
        if column not in rows.column_names:
            raise UserError(
                f"Split '{split}' has no column '{column}'.{closest(column, rows.column_names)} "
                f"Its columns are {', '.join(rows.column_names)}."
            )


def check_no_nulls(values: pa.ChunkedArray, column: str, split: str) -> None:
    """Raises `UserError` if a value is missing."""
    if values.null_count:
        row = pc.index(pc.is_null(values), True).as_py()
        raise UserError(
            f"Column '{column}' of split '{split}' has no value in row {row} (counted from 0; {values.null_count} "
            "such rows): fill them in or remove them."
        )


def is_string(kind: pa.DataType) -> bool:
    """Returns whether an Arrow type holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def label_array(labels: pa.ChunkedArray, column: str, split: str) -> pa.ChunkedArray:
    """Returns labels as int64 or as strings; truth values become the strings `False` and `True`."""
    kind = labels.type
    if pa.types.is_boolean(kind):
        return pc.if_else(labels, "True", "False")
    if pa.types.is_dictionary(kind) and is_string(kind.value_type) or is_string(kind):
        return labels.cast(pa.string())
    if pa.types.is_integer(kind):
        return labels.cast(pa.int64())
    hint = " (one label per row is needed)" if pa.types.is_list(kind) or pa.types.is_large_list(kind) else ""
    raise UserError(f"Column '{column}' of split '{split}' holds {kind}{hint}; labels are integers or strings.")


def _check_label_names(carried: tuple[str, ...], spec: TaskSpec, split: str) -> None:
    if carried == spec.label_names:
        return
    if max(len(carried), spec.num_labels) <= 8:
        theirs, ours = ", ".join(carried), ", ".join(spec.label_names)
    else:
        at = next((i for i, pair in enumerate(zip(carried, spec.label_names, strict=False)) if pair[0] != pair[1]), -1)
        theirs, ours = f"{len(carried)} names", f"{spec.num_labels} names"
        if at >= 0:
            theirs, ours = f"{theirs}, id {at} = {carried[at]}", f"{ours}, id {at} = {spec.label_names[at]}"
    raise UserError(f"The label names in split '{split}' ({theirs}) differ from those of '{spec.name}' ({ours}).")


def _label_ids(labels: pa.ChunkedArray, spec: TaskSpec, column: str, split: str) -> pa.ChunkedArray:
    """Returns labels as ids (int64), every one of them checked."""
    labels = label_array(labels, column, split)
    if pa.types.is_integer(labels.type):
        outside = pc.or_(pc.less(labels, 0), pc.greater_equal(labels, spec.num_labels))
        count = pc.sum(outside).as_py()
        if count:
            wrong = labels.filter(outside)
            raise UserError(
                f"Split '{split}' has {count} label ids outside 0 to {spec.num_labels - 1} in column '{column}', "
                f"from {pc.min(wrong).as_py()} to {pc.max(wrong).as_py()}."
            )
        return labels
    ids = pc.index_in(labels, value_set=pa.array(spec.label_names))
    if ids.null_count:
        row = pc.index(pc.is_null(ids), True).as_py()
        name = labels[row].as_py()
        names = ", ".join(spec.label_names[:8]) + (", ..." if spec.num_labels > 8 else "")
        raise UserError(
            f"Label '{name}' in split '{split}', row {row}, is not among the label names ({names})."
            f"{closest(name, spec.label_names)}"
        )
    return ids.cast(pa.int64())


def standardise(rows: Dataset, spec: TaskSpec, split: str, label_column: str) -> Dataset:
    """Returns a split with exactly the text columns and `label`, checked."""
    check_rows(rows, split, spec.name)
    check_columns(rows, (*spec.text_columns, label_column), split)
    columns = {name: column_values(rows, name) for name in spec.text_columns}
    labels = column_values(rows, label_column)
    for name, values in (*columns.items(), (label_column, labels)):
        check_no_nulls(values, name, split)
    for name, values in columns.items():
        if not is_string(values.type):
            raise UserError(f"Column '{name}' of split '{split}' holds {values.type}, not text.")
    carried = carried_label_names(rows, label_column)
    if carried is not None:
        _check_label_names(carried, spec, split)
    if spec.row_filter == "single_label" and isinstance(rows.features[label_column], (List, LargeList)):
        single = pc.equal(pc.list_value_length(labels), 1)
        columns = {name: values.filter(single) for name, values in columns.items()}
        labels = pc.list_element(labels.filter(single), 0)
        if not len(labels):
            raise UserError(f"Split '{split}' of '{spec.name}' has no row with exactly one label.")
    columns = {name: values.cast(pa.string()) for name, values in columns.items()}
    columns["label"] = _label_ids(labels, spec, label_column, split)
    features = Features({name: Value("string") for name in spec.text_columns})
    features["label"] = ClassLabel(names=list(spec.label_names))
    return Dataset.from_dict(columns, features=features)
