# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Where demonstrations come from: distilled sets, or rows of the training split. Also the choice of queries."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, get_dataset_config_names, load_dataset
from datasets.exceptions import DatasetsError

from ddg_hf.data.checks import standardise
from ddg_hf.data.rows import rows_and_labels
from ddg_hf.data.samplers import stable_seed
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError, closest
from ddg_hf.evaluation.arguments import KINDS
from ddg_hf.evaluation.icl.prompts import Demonstration, Texts, round_robin
from ddg_hf.selection import select_k_centers, select_random

Embed = Callable[[list[Texts]], np.ndarray]

_CONFIG = re.compile(r"dpc_(\d+)")
_DILM_FILE = re.compile(r"dataset_(\d+)\.json")


@dataclass(frozen=True)
class DemonstrationSet:
    """
    One set of demonstrations, in no particular order.

    Attributes:
        set_id: Number of the set: the sampling seed of a distilled set, or the number of the draw.
        rows: Pairs (texts, label id).
        ordered: Whether the prompt shows the rows round by round ([`round_robin`]); otherwise in any order.
    """

    set_id: int
    rows: tuple[Demonstration, ...]
    ordered: bool = True

    def in_order(self, rounds: int, num_labels: int, seed: int) -> list[Demonstration]:
        """
        Returns the demonstrations in the order of a prompt: `rounds` of each label, or all in a random order if the
        set is not `ordered`.

        Raises:
            UserError: a label has fewer rows than `rounds`.
        """
        if self.ordered and self.rows:
            order = round_robin([label for _, label in self.rows], rounds, seed, num_labels)
        else:
            order = np.random.default_rng(seed).permutation(len(self.rows))
        return [self.rows[i] for i in order]


def to_demonstrations(dataset: Dataset, spec: TaskSpec) -> list[Demonstration]:
    """Returns the rows of a loaded split (text columns and `label`) as pairs (texts, label id)."""
    return list(zip(*rows_and_labels(dataset, spec), strict=True))


# Distilled sets


def available_dpc(source: str) -> list[int]:
    """
    Returns the demonstrations per class that a distilled dataset offers, ascending: 5 for the configuration `dpc_5`.

    Args:
        source: Directory or Hub id.

    Raises:
        UserError: it is not there, or has no such configuration.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        names = [path.name for path in folder.iterdir() if path.is_dir()]
    else:
        try:
            names = get_dataset_config_names(source)
        except (OSError, ValueError, RuntimeError, DatasetsError) as error:
            raise _not_loaded(source, error) from error
    found = sorted(int(match[1]) for match in map(_CONFIG.fullmatch, names) if match)
    if not found:
        raise UserError(f"'{source}' holds no distilled sets: there is no dpc_<n> in it")
    return found


def load_distilled(source: str, config: str, spec: TaskSpec) -> list[DemonstrationSet]:
    """
    Loads the distilled sets of one configuration.

    Args:
        source: A directory that `generate` wrote (`<config>/train.parquet`), the same on the Hub, or a directory with
            sets in DiLM's format (`<config>/dataset_<i>.json`, JSON lines with the label in `labels`).
        config: Name of the configuration, e.g. `dpc_5`.
        spec: The task; its columns and label names must be those of the sets.

    Returns:
        The sets, by ascending number.

    Raises:
        UserError: nothing there to load, or columns, label names or label ids that are not the task's.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        try:
            return _sets_of(load_dataset(source, config, split="train"), spec, config)
        except (OSError, RuntimeError, DatasetsError) as error:
            raise _not_loaded(source, error) from error
        except ValueError as error:
            raise error if isinstance(error, UserError) else _not_loaded(source, error) from error
    file = folder / config / "train.parquet"
    if file.is_file():
        try:
            table = pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"cannot read '{file}': {' '.join(str(error).split())}") from error
        return _sets_of(Dataset(table), spec, config)
    numbered = sorted(
        (int(match[1]), path)
        for path in (folder / config).glob("dataset_*.json")
        if (match := _DILM_FILE.fullmatch(path.name))
    )
    if not numbered:
        offered = ", ".join(f"dpc_{dpc}" for dpc in available_dpc(source))
        raise UserError(f"'{source}' has no sets for '{config}' (train.parquet or dataset_<i>.json); it has {offered}")
    return [
        DemonstrationSet(number, tuple(to_demonstrations(_read_dilm(path, spec), spec))) for number, path in numbered
    ]


def _not_loaded(source: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:300]
    return UserError(f"cannot load '{source}': it is no directory, and as a Hub id it fails with: {reason}")


def _sets_of(dataset: Dataset, spec: TaskSpec, config: str) -> list[DemonstrationSet]:
    """Splits a dataset by its column `set`; without it, all rows are set 0."""
    numbers_N = np.asarray(dataset["set"]) if "set" in dataset.column_names else np.zeros(len(dataset), int)
    rows = to_demonstrations(standardise(dataset, spec, config, "label"), spec)
    return [
        DemonstrationSet(int(number), tuple(rows[i] for i in np.flatnonzero(numbers_N == number)))
        for number in np.unique(numbers_N)
    ]


def _read_dilm(path: Path, spec: TaskSpec) -> Dataset:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        dataset = Dataset.from_list(lines)
    except (OSError, ValueError, TypeError, AttributeError, pa.ArrowException) as error:
        raise UserError(f"'{path}' is not a file of JSON lines: {' '.join(str(error).split())}") from error
    return standardise(dataset, spec, path.name, "labels")


# Rows of the training split


def draw_sets(
    kind: str,
    rows: Sequence[Demonstration],
    spec: TaskSpec,
    per_class: int,
    num_sets: int,
    seed: int,
    embed: Embed | None = None,
) -> list[DemonstrationSet]:
    """
    Draws demonstration sets from labelled rows. A set has `per_class` x number of labels rows, without repetition.

    Args:
        kind: How the rows are chosen.

            - `balanced`: `per_class` rows of each class, uniformly at random; shown round by round.
            - `random`: rows uniformly at random whatever their class, so that class counts vary as they do in the
              data and a class may be missing; shown in random order.
            - `k_centers`: of each class the rows nearest to the centroids of `per_class` k-means clusters of its
              embeddings; sets differ by the start of k-means; shown round by round.
            - `zero_shot`: a single empty set.
        rows: Pairs (texts, label id), usually the training split.
        spec: The task.
        per_class: Rows per class.
        num_sets: Number of sets.
        seed: Set s is a function of (seed, s) alone.
        embed: Needed by `k_centers`: maps N rows of texts to embeddings of shape [N, H].

    Raises:
        UserError: unknown kind, `per_class` or `num_sets` below 1, or a class with fewer than `per_class` rows.
    """
    if kind not in KINDS:
        raise UserError(f"unknown demonstrations '{kind}'.{closest(kind, KINDS)} There are {', '.join(KINDS)}.")
    if kind == "zero_shot":
        return [DemonstrationSet(0, ())]
    if per_class < 1 or num_sets < 1:
        raise UserError(f"the number of rows per class ({per_class}) and of sets ({num_sets}) must be at least 1")
    labels_N = np.array([label for _, label in rows], dtype=np.int64)
    if kind == "random":
        if len(rows) < per_class * spec.num_labels:
            raise UserError(f"{per_class * spec.num_labels} demonstrations are needed, but there are {len(rows)} rows")
        size = per_class * spec.num_labels
        draws = [select_random(len(rows), size, stable_seed("random", seed, s)) for s in range(num_sets)]
        return [DemonstrationSet(s, tuple(rows[i] for i in draw), ordered=False) for s, draw in enumerate(draws)]
    classes = [np.flatnonzero(labels_N == label) for label in range(spec.num_labels)]
    for name, members in zip(spec.label_names, classes, strict=True):
        if len(members) < per_class:
            raise UserError(
                f"class '{name}' has {len(members)} rows, but {per_class} are needed; lower --dpc or --rounds"
            )
    embeddings_NH = _embeddings(embed, rows) if kind == "k_centers" else None
    sets = []
    for s in range(num_sets):
        chosen: list[int] = []
        for label, members in enumerate(classes):
            draw_seed = stable_seed(kind, seed, s, label)
            if embeddings_NH is None:
                picks = select_random(len(members), per_class, draw_seed)
            else:
                picks = select_k_centers(embeddings_NH[members], per_class, draw_seed % 2**32)
            chosen += members[picks].tolist()
        sets.append(DemonstrationSet(s, tuple(rows[i] for i in chosen)))
    return sets


def _embeddings(embed: Embed | None, rows: Sequence[Demonstration]) -> np.ndarray:
    if embed is None:
        raise UserError("k_centers needs an encoder: pass --learner")
    return np.asarray(embed([texts for texts, _ in rows]))


# Both

DEFAULT_PER_CLASS = 5
DEFAULT_DRAWS = 5


def select_sets(
    spec: TaskSpec,
    train: Sequence[Demonstration],
    distilled: str | None,
    kind: str | None,
    dpc: Sequence[int] | None,
    num_sets: int | None,
    seed: int,
    embed: Embed | None = None,
) -> dict[int, list[DemonstrationSet]]:
    """
    Returns the sets that an evaluation is about, by their rows per class (0 for zero-shot).

    Args:
        spec: The task.
        train: Labelled rows of the training split.
        distilled: Directory or Hub id of distilled sets; otherwise `kind` of real rows, see [`draw_sets`].
        kind: How real rows are chosen.
        dpc: Rows per class; by default all configurations of `distilled`, or 5.
        num_sets: Number of sets; by default all of `distilled`, or 5 draws.
        seed: Seed of the draws.
        embed: Embeds rows, for `k_centers`. Called once, whatever the number of `dpc`.

    Raises:
        UserError: there are fewer distilled sets than `num_sets`, and as [`load_distilled`] and [`draw_sets`] do.
    """
    if distilled is not None:
        sets = {n: load_distilled(distilled, f"dpc_{n}", spec) for n in dpc or available_dpc(distilled)}
        for n, members in sets.items():
            if num_sets is not None and num_sets > len(members):
                raise UserError(f"--num_sets is {num_sets}, but dpc_{n} has {len(members)} sets")
            sets[n] = members[:num_sets]
        return sets
    if kind == "zero_shot":
        return {0: draw_sets(kind, [], spec, 0, 1, seed)}
    embed = embed and _once(embed)
    return {
        n: draw_sets(kind, train, spec, n, num_sets or DEFAULT_DRAWS, seed, embed) for n in dpc or [DEFAULT_PER_CLASS]
    }


def _once(embed: Embed) -> Embed:
    """The training rows are the same for every number of rows per class: they are embedded once."""
    results: list[np.ndarray] = []

    def embed_once(rows: list[Texts]) -> np.ndarray:
        if not results:
            results.append(embed(rows))
        return results[0]

    return embed_once


# Queries


def balanced_sample(labels_N: Sequence[int], size: int | None, seed: int, num_labels: int) -> np.ndarray:
    """
    Chooses rows whose classes are as equal in number as their sizes allow.

    A class with too few rows gives all it has, and the others make up for it; what does not divide evenly goes to
    classes chosen at random.

    Args:
        labels_N: Label id of each row.
        size: Number of rows to choose; all rows if `None` or more than there are.
        seed: Seed of the choice.
        num_labels: Number of classes.

    Returns:
        Distinct row indices in ascending order.

    Raises:
        UserError: `size` is less than 1.
    """
    labels_N = np.asarray(labels_N)
    if size is not None and size < 1:
        raise UserError(f"at least one query is needed, --test_number is {size}")
    if size is None or size >= len(labels_N):
        return np.arange(len(labels_N))
    rng = np.random.default_rng(stable_seed("queries", seed))
    classes = [rng.permutation(np.flatnonzero(labels_N == label)) for label in rng.permutation(num_labels)]
    chosen, missing = [], size
    for i, members in enumerate(sorted(classes, key=len)):
        members = members[: missing // (num_labels - i)]
        chosen.append(members)
        missing -= len(members)
    return np.sort(np.concatenate(chosen))
