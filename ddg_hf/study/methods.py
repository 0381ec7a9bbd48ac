# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The methods that a study compares."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UserError, closest

RERANKED = "+likelihood"
"""Ends the name of a method whose sets are chosen by their likelihood among several candidates."""


@dataclass(frozen=True)
class Method:
    """
    Where the demonstrations of one method come from.

    Attributes:
        name: How options, files and tables call it.
        title: How readers call it.
        about: One line about it.
        kind: `none` (zero-shot), `real` (sets of training rows), `retrieved` (training rows for each query),
            `generated`, or `given` (sets that were made elsewhere).
        trained: What the sets are sampled from or ranked by: a generator after `pretrain`, or after `distill` with the
            student `shared` or `ema`; empty if no generator is trained.
        directory: Of `given` sets.
        reranked: Whether each set is the best of several candidates.
    """

    name: str
    title: str
    about: str
    kind: str
    trained: str = ""
    directory: str = ""
    reranked: bool = False

    @property
    def base(self) -> str:
        """Name of the method that makes the candidates."""
        return self.name.removesuffix(RERANKED)

    @property
    def makes_sets(self) -> bool:
        """Whether the study writes its sets. The evaluations draw those of `random`, which may miss a class."""
        return self.kind in ("real", "generated") and self.name != "random"

    @property
    def is_seeded(self) -> bool:
        """Whether there is a generator to train, so that the training seed matters."""
        return bool(self.trained)


_METHODS = (
    Method("zero_shot", "zero-shot", "no demonstrations", "none"),
    Method("random", "random", "training rows at random, whatever their class", "real"),
    Method("balanced", "balanced random", "as many training rows of each class, at random", "real"),
    Method("k_centers", "K-centers", "rows nearest to the centroids of k-means clusters of each class", "real"),
    Method("herding", "herding", "rows whose mean embedding is nearest to that of the class", "real"),
    Method(
        "generator_loss", "generator loss", "rows that the pretrained generator finds most likely", "real", "pretrain"
    ),
    Method(
        "vote_k", "Vote-k", "rows that are near to many others and far from those chosen (Su et al., 2022)", "real"
    ),
    Method("dpp", "DPP", "rows drawn by a determinantal point process: mutually dissimilar", "real"),
    Method(
        "gradient_selection",
        "gradient selection",
        "rows whose gradients together match that of the whole class, chosen greedily",
        "real",
    ),
    Method("bm25", "BM25", "for each query the training rows that share most words with it", "retrieved"),
    Method("topk", "TopK", "for each query the training rows nearest to it by their embeddings", "retrieved"),
    Method(
        "self_generated",
        "self-generated",
        "texts that the in-context model writes for a label by itself (after SG-ICL, Kim et al., 2022)",
        "generated",
    ),
    Method("lm_only", "LM only", "texts of the pretrained generator, without matching", "generated", "pretrain"),
    Method("dilm", "DiLM", "gradient matching at the learner itself", "generated", "shared"),
    Method("ddg", "DDG", "gradient matching at an exponential moving average of the learner", "generated", "ema"),
)
METHODS = {method.name: method for method in _METHODS}
"""By name, in the order of tables."""
STUDENTS = {method.trained: method.title for method in _METHODS if method.trained in ("ema", "shared")}
"""How readers call the distillation with each student."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def method_named(name: str, given: Mapping[str, str]) -> Method:
    """
    Returns the method of that name.

    Args:
        name: One of [`METHODS`], of `real` and `generated` ones also with [`RERANKED`] at the end, or of `given`.
        given: Directory or Hub id of the sets of each method that is made elsewhere.

    Raises:
        UserError: there is no such method.
    """
    if name in given:
        if not _NAME.fullmatch(name) or name in METHODS or not isinstance(given[name], str):
            raise UserError(
                f"--given: '{name}' must be a name of letters, digits, '.', '_' and '-' that is not one of the "
                "methods, with a directory or Hub id"
            )
        return Method(name, name.replace("_", " "), "sets that were made elsewhere", "given", directory=given[name])
    base = METHODS.get(name.removesuffix(RERANKED))
    rerankable = base is not None and base.makes_sets
    if base is None or (name.endswith(RERANKED) and not rerankable):
        known = [*METHODS, *given]
        raise UserError(
            f"unknown method '{name}'.{closest(name, known)} There are {', '.join(known)}; sets of real rows (but "
            f"'random') and generated ones also as NAME{RERANKED}"
        )
    if name == base.name:
        return base
    return Method(
        name,
        f"{base.title} + likelihood",
        f"{base.about}; each set the best of several by the likelihood of labels on validation rows",
        base.kind,
        base.trained,
        reranked=True,
    )
