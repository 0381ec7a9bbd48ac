# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations that are retrieved for each query."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.prompts import Demonstration, Texts
from ddg_hf.selection.retrieval import BM25Index, nearest_by_cosine

from .sets import Embed

Nearest = Callable[[Sequence[Texts], int], np.ndarray]
"""Maps Q queries and K to the indices [Q, K] of the rows that are most similar to each query, most similar first."""


@dataclass(frozen=True, eq=False)
class RetrievedDemonstrations:
    """
    Demonstrations of its own for each query: the rows that are most similar to it, whatever their labels (Liu et al.
    2022, "What Makes Good In-Context Examples for GPT-3?", arXiv 2101.06804).

    A query that occurs in `rows` word for word gets that row too: duplicates across splits are not removed.

    Attributes:
        rows: Pairs (texts, label id) to choose from, usually the training split.
        per_class: Number of demonstrations for a query, divided by the number of labels.
        num_labels: Number of classes.
        nearest: Ranks `rows`; see [`make_nearest`].
        set_id: Number of the set. There is one.

    Raises:
        UserError: `per_class` is less than 1, or there are fewer rows than a query needs.
    """

    rows: Sequence[Demonstration]
    per_class: int
    num_labels: int
    nearest: Nearest
    set_id: int = 0

    def __post_init__(self):
        needed = self.per_class * self.num_labels
        if self.per_class < 1:
            raise UserError(f"the number of rows per class must be at least 1, got {self.per_class}")
        if len(self.rows) < needed:
            raise UserError(f"{needed} demonstrations are needed, but there are {len(self.rows)} rows; lower --dpc")

    def for_queries(self, queries: Sequence[Texts], rounds: int | None = None) -> list[list[Demonstration]]:
        """
        Returns the demonstrations of each query in the order of its prompt: the most similar one last, next to the
        query, as in Rubin et al. 2022, "Learning To Retrieve Prompts for In-Context Learning" (arXiv 2112.08633).

        Args:
            queries: Texts of Q queries.
            rounds: `rounds` x `num_labels` demonstrations for each query; `per_class` by default. Those of fewer
                rounds are the last ones of those of more rounds.

        Returns:
            Q lists, in the order of the queries.

        Raises:
            UserError: `rounds` is less than 1 or more than `per_class`.
        """
        rounds = self.per_class if rounds is None else rounds
        if not 1 <= rounds <= self.per_class:
            raise UserError(f"--rounds must be between 1 and the rows per class ({self.per_class}), got {rounds}")
        if not queries:
            return []
        nearest_QK = self.nearest(queries, rounds * self.num_labels)
        return [[self.rows[i] for i in reversed(nearest_K)] for nearest_K in nearest_QK.tolist()]


def make_nearest(kind: str, rows: Sequence[Demonstration], embed: Embed | None = None) -> Nearest:
    """
    Indexes rows for retrieval. Of rows that are equally similar to a query, the earlier one comes first.

    Args:
        kind: `bm25` compares words ([`~ddg_hf.selection.retrieval.BM25Index`]), the text columns of a row joined;
            `topk` compares embeddings by their cosine.
        rows: Pairs (texts, label id).
        embed: Needed by `topk`: embeds the rows, once, and the queries. Equal rows are embedded once.

    Raises:
        UserError: `topk` without `embed`, or `bm25` without the package `bm25s`.
    """
    if kind == "bm25":
        index = BM25Index([" ".join(texts) for texts, _ in rows])
        return lambda queries, k: index.nearest([" ".join(texts) for texts in queries], k)
    assert kind == "topk", kind
    if embed is None:
        raise UserError("topk needs an encoder: pass --learner")
    # Equal texts get equal embeddings, whatever was in the same batch: then they are ties.
    position = {texts: i for i, texts in enumerate(dict.fromkeys(texts for texts, _ in rows))}
    embeddings_NH = np.asarray(embed(list(position)))[[position[texts] for texts, _ in rows]]
    return lambda queries, k: nearest_by_cosine(embeddings_NH, embed(list(queries)), k)
