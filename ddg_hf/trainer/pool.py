# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The synthetic rows that a generator is updated on."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..data.samplers import stable_seed
from ..errors import UserError
from ..models.generator import chunk_size, num_chunks
from ..models.sequence_format import SequenceFormat
from ..selection.k_centers import k_means_clusters
from .processes import Processes


class SyntheticPool:
    """
    Synthetic rows of every label, sampled from the generator every so often, in k-means clusters.

    A batch takes one row from each cluster, so it covers the pool (DiLM, section 3.3). Which rows is a function of
    (seed, round, step, label) alone.

    Args:
        format ([`SequenceFormat`]): reads targets back.
        args ([`DistillationConfig`]): sizes, seed.
        rows_per_class (`Sequence[int]`): clusters of each label, and so rows of a batch.
        sample (`Callable`): `(num_per_label, *seed_parts, labels=...) -> {label: targets}`.
        embed (`Callable`): embeds rows, `[N, H]`.
        encode (`Callable`): tokenises rows for the learner.
        processes ([`Processes`]): who shares the clustering.

    Attributes:
        targets, rows, labels: the M synthetic rows, sorted by label: token ids, texts, label ids.
        encoded: the rows as the learner reads them.
        clusters_M: the k-means cluster of each row within its label.
        metrics: what is known of the pool (malformed rate, ...).
        seconds: of the last `refresh`, for `generate` and `cluster`.
    """

    def __init__(
        self,
        format: SequenceFormat,
        args,
        rows_per_class: Sequence[int],
        sample: Callable,
        embed: Callable,
        encode: Callable,
        processes: Processes,
    ):
        self.format, self.args, self.processes = format, args, processes
        self.sample, self.embed, self.encode = sample, embed, encode
        self.rows_per_class = rows_per_class
        self.round = -1
        self.targets: list[list[int]] = []
        self.rows: list[tuple[str, ...]] = []
        self.labels: list[int] = []
        self.encoded = None
        self._members: list[np.ndarray] = []
        self.clusters_M = np.zeros(0, dtype=np.int64)
        self.metrics: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    # ---- filling ----

    def refresh(self, round: int) -> None:
        """Samples the pool of generation round `round`. Raises `UserError` if too many texts are malformed."""
        start = time.time()
        good, malformed_rate = self._sample_good(round)
        sampled = time.time()
        self.round, self.metrics = round, {"malformed_rate": malformed_rate}
        self._set([target for rows in good for target in rows], [y for y, rows in enumerate(good) for _ in rows])
        self.clusters_M = self._cluster()
        self.seconds = {"generate": sampled - start, "cluster": time.time() - sampled}

    def _sample_good(self, round: int) -> tuple[list[list[list[int]]], float]:
        """`pool_per_class` usable targets of each label, and the fraction of malformed ones."""
        size = self.args.pool_per_class
        good: list[list[list[int]]] = [[] for _ in range(self.format.num_labels)]
        drawn = malformed = 0
        examples: list[str] = []
        for attempt in range(self.args.max_sampling_rounds):
            wanting = [y for y, rows in enumerate(good) if len(rows) < size]
            if not wanting:
                break
            # A retry asks for whole chunks: no less is sampled anyway.
            missing = max(size - len(good[y]) for y in wanting)
            number = size if attempt == 0 else sum(map(chunk_size, range(num_chunks(missing))))
            batch = self.sample(number, self.args.seed, "round", round, attempt, labels=wanting)
            for label, targets in batch.items():
                drawn += len(targets)
                for target in targets:
                    if self.format.decode(target) is not None:
                        good[label].append(target)
                    else:
                        malformed += 1
                        examples.append(self.format.tokenizer.decode(self._full(target)))
        short = [self.format.label_names[y] for y, rows in enumerate(good) if len(rows) < size]
        if short:
            raise UserError(
                f"the generator wrote {malformed} malformed texts of {drawn} (cut, empty or without separator), too "
                f"few good ones for {short[:5]}; pretrain it longer (cut texts: with a greater --max_length), or, if "
                f"it wrote good ones before, lower --learning_rate or add --lm_lambda 0.1. Such as: {examples[:3]}"
            )
        return [rows[:size] for rows in good], malformed / drawn

    def _full(self, target: list[int]) -> list[int]:
        return target if self.format.vocabulary is None else self.format.vocabulary.to_full(target)

    def _set(self, targets: list[list[int]], labels: list[int]) -> None:
        self.targets, self.labels = targets, labels
        self.rows = [self.format.decode(target) for target in targets]
        self.encoded = self.encode(self.rows)
        labels_M = np.asarray(labels)
        self._members = [np.flatnonzero(labels_M == y) for y in range(self.format.num_labels)]

    def _cluster(self) -> np.ndarray:
        """Cluster ids `[M]`; the processes share the labels."""
        mine = []
        for label in self.processes.share(range(self.format.num_labels)):
            embeddings = self.embed([self.rows[i] for i in self._members[label]])
            seed = stable_seed(self.args.seed, self.round, label) % 2**31
            mine.append((label, k_means_clusters(embeddings, self.rows_per_class[label], seed=seed)))
        clusters = self.processes.gather(mine)
        return np.concatenate([clusters[y] for y in range(self.format.num_labels)]).astype(np.int64)

    # ---- drawing ----

    def batch(self, step: int, labels: Sequence[int] | None = None) -> dict[int, list[int]]:
        """Pool positions of the rows of update `step`: for each label (default: all) one of each cluster."""
        result = {}
        for label in range(self.format.num_labels) if labels is None else labels:
            rng = np.random.default_rng(stable_seed(self.args.seed, "batch", self.round, step, label))
            rows = self._members[label]
            clusters = self.clusters_M[rows]
            result[label] = [int(rng.choice(rows[clusters == c])) for c in np.unique(clusters)]
        return result

    # ---- state ----

    def state_dict(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors (token ids, lengths, labels, clusters) and a JSON-able rest."""
        tensors = {
            "tokens": torch.tensor([token for target in self.targets for token in target], dtype=torch.int32),
            "lengths": torch.tensor([len(target) for target in self.targets], dtype=torch.int32),
            "labels": torch.tensor(self.labels, dtype=torch.int32),
            "clusters": torch.from_numpy(self.clusters_M.astype(np.int32)),
        }
        return tensors, {"round": self.round, "metrics": self.metrics}

    def load_state_dict(self, tensors: dict[str, torch.Tensor], rest: dict) -> None:
        """The inverse of [`state_dict`]."""
        self.round, self.metrics = rest["round"], rest["metrics"]
        if self.round >= 0:
            pieces = tensors["tokens"].split(tensors["lengths"].tolist())
            self._set([piece.tolist() for piece in pieces], tensors["labels"].tolist())
            self.clusters_M = tensors["clusters"].cpu().numpy().astype(np.int64)
