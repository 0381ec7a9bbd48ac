# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Which rows of a directory of distilled sets are exported, and in which order."""

from collections.abc import Sequence

from ..data.samplers import stable_seed
from ..errors import UserError
from ..evaluation.demonstrations import Demonstration, DemonstrationSet
from ..formats.directory import CONFIG, DistilledDirectory
from ..generation import DistilledRow


def choose_config(directory: DistilledDirectory, config: str | None) -> str:
    """
    Returns the configuration to export: `config`, or the only one there is.

    Raises:
        UserError: there are several and none is named.
    """
    if config is None and len(directory.configs) > 1:
        raise UserError(f"'{directory.path}' has {', '.join(directory.configs)}; choose one with --config")
    return config or directory.configs[0]


def choose_set(sets: dict[int, list[DistilledRow]], number: int | None) -> int:
    """
    Returns the set to export: `number`, or the first one.

    Raises:
        UserError: there is no such set.
    """
    if number is not None and number not in sets:
        listed = ", ".join(map(str, list(sets)[:10])) + (", ..." if len(sets) > 10 else "")
        raise UserError(f"there is no set {number}; the sets are {listed}")
    return next(iter(sets)) if number is None else number


def in_prompt_order(
    rows: Sequence[DistilledRow], config: str, num_labels: int, rounds: int | None, seed: int, order_by: str
) -> list[Demonstration]:
    """
    Returns the rows of one set in the order in which `ddg-hf evaluate-icl` shows them (its first order).

    Args:
        rows: Rows of the set.
        config: Name of its configuration, `dpc_<n>`.
        num_labels: Number of classes.
        rounds: Of each class, the first so many rows; by default n.
        seed: Seed of the order.
        order_by: `interleaved` or `sorted`; see [`~ddg_hf.evaluation.demonstrations.DemonstrationSet.in_order`].

    Raises:
        UserError: a class has fewer rows than `rounds`.
    """
    number = rows[0].set
    if rounds is None:
        rounds = int(CONFIG.fullmatch(config)[1])
    shown = DemonstrationSet(number, tuple((row.texts, row.label) for row in rows))
    return shown.in_order(rounds, num_labels, stable_seed("order", seed, number, 0), order_by)
