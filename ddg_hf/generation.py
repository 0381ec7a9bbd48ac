# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Sampling of candidates from a generator and their selection into distilled sets (DiLM, section 3.3)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .data.rows import DistilledRow
from .data.samplers import stable_seed
from .errors import UserError
from .evaluation.label_control import LabelProbe
from .generation_config import GenerationArguments
from .models.generator import Generator, num_chunks
from .models.sequence_format import EncodedText
from .selection import select_by_generator_loss, select_herding, select_k_centers, select_random

Embed = Callable[[Sequence[tuple[str, ...]]], np.ndarray]


@dataclass
class Candidates:
    """Usable texts of one label, in the order in which they were sampled, with the generator's loss of each."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


@dataclass
class SamplingCounts:
    """How many texts were sampled, and why some were not used."""

    sampled: int = 0
    malformed: int = 0
    duplicate: int = 0
    wrong_label: int = 0
    examples: list[str] = field(default_factory=list)


def sample_candidates(
    generator: Generator,
    label: int,
    size: int,
    arguments: GenerationArguments,
    seed_parts: Sequence[int | str],
    counts: SamplingCounts,
    probe: LabelProbe | None = None,
) -> Candidates:
    """
    Samples `size` usable texts of a label.

    Malformed texts, repetitions and, with a probe, texts of another label are dropped and counted.

    Raises:
        UserError: too few usable texts after `max_sampling_rounds` rounds; the message shows malformed ones.
    """
    candidates, seen = Candidates(), set()
    budget = arguments.max_sampling_rounds * num_chunks(size)
    for chunk in range(budget):
        if len(candidates.rows) >= size:
            break
        targets = generator.sample(
            label,
            chunk,
            *seed_parts,
            top_p=arguments.top_p,
            temperature=arguments.sampling_temperature,
        )
        counts.sampled += len(targets)
        fresh: dict[tuple[str, ...], list[int]] = {}
        for target in targets:
            row = generator.format.decode(target)
            if row is None:
                counts.malformed += 1
                full = generator.vocabulary.to_full(target) if generator.vocabulary else target
                counts.examples.append(generator.tokenizer.decode(full))
            elif row in seen or row in fresh:
                counts.duplicate += 1
            else:
                fresh[row] = target
        if probe is not None and fresh:
            predicted = probe.predict(list(fresh))
            kept = {row: t for (row, t), y in zip(fresh.items(), predicted, strict=True) if y == label}
            counts.wrong_label += len(fresh) - len(kept)
            fresh = kept
        if fresh:
            samples = [EncodedText(generator.format.prefix(label), target) for target in fresh.values()]
            candidates.losses += generator.nll(samples).tolist()
            candidates.rows += list(fresh)
            seen.update(fresh)
    if len(candidates.rows) < size:
        raise UserError(
            f"only {len(candidates.rows)} of {size} texts of '{generator.format.label_names[label]}' are usable after "
            f"{counts.sampled} samples ({counts.malformed} malformed, {counts.duplicate} repeated, "
            f"{counts.wrong_label} of another label); pretrain longer, lower --over_sample_ratio or raise "
            f"--max_sampling_rounds. Malformed ones: {counts.examples[:3]}"
        )
    return Candidates(candidates.rows[:size], candidates.losses[:size])


def select_rows(candidates: Candidates, k: int, selection: str, seed: int, embed: Embed | None) -> list[int]:
    """Positions of the `k` candidates that `selection` keeps; see [`GenerationArguments`]."""
    if selection == "random":
        return select_random(len(candidates.rows), k, seed).tolist()
    if selection == "generator_loss":
        return select_by_generator_loss(np.asarray(candidates.losses), k).tolist()
    assert embed is not None, f"{selection} needs embeddings"
    embeddings = embed(candidates.rows)
    if selection == "herding":
        return select_herding(embeddings, k).tolist()
    return select_k_centers(embeddings, k, seed % 2**32).tolist()


def generate_sets(
    generator: Generator,
    arguments: GenerationArguments,
    seed: int,
    embed: Embed | None = None,
    probe: LabelProbe | None = None,
    progress: Callable[[int], None] | None = None,
    numbers: Sequence[int] | None = None,
) -> tuple[dict[int, list[DistilledRow]], SamplingCounts]:
    """
    Generates `num_sets` sets for every value of `dpc`.

    Set s is a function of (seed, s). A set of n rows per class is selected from the first
    `ceil(over_sample_ratio * n)` candidates of each class, so sizes do not influence one another.

    Args:
        generator ([`Generator`]): pretrained or distilled.
        arguments ([`GenerationArguments`]): sizes, selection, sampling.
        seed (`int`): sampling seed.
        embed (`Callable`, *optional*): embeds rows; for `k_centers` and `herding`.
        probe ([`LabelProbe`], *optional*): for the label filter.
        progress (`Callable`, *optional*): called with the number of candidates sampled since the last call.
        numbers (`Sequence[int]`, *optional*): numbers of the sets; the first `num_sets` by default.

    Returns:
        The rows of all sets for each value of `dpc`, and the counts.
    """
    counts = SamplingCounts()
    result: dict[int, list[DistilledRow]] = {n: [] for n in arguments.dpc}
    size = math.ceil(arguments.over_sample_ratio * max(arguments.dpc))
    for number in range(arguments.num_sets) if numbers is None else numbers:
        for label in range(generator.format.num_labels):
            candidates = sample_candidates(
                generator,
                label,
                size,
                arguments,
                (seed, "set", number),
                counts,
                probe if arguments.label_filter else None,
            )
            for n, rows in result.items():
                share = math.ceil(arguments.over_sample_ratio * n)
                pool = Candidates(candidates.rows[:share], candidates.losses[:share])
                chosen = select_rows(pool, n, arguments.selection, stable_seed(seed, number, label), embed)
                rows += [DistilledRow(pool.rows[i], label, number, pool.losses[i]) for i in chosen]
            if progress is not None:
                progress(size)
    return result, counts
