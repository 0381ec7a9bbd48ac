# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
K-centers selection.

The name means two things. Here, as in DiLM (arXiv 2404.00264), whose baseline and teacher sets this is, rows are
clustered by k-means and the row nearest to each centroid is taken: typical rows of every region. In active learning
(Sener & Savarese, 2018, arXiv 1708.00489) k-center is the greedy choice of the row farthest from those already taken,
which minimises the greatest distance to a chosen row and therefore favours outliers; it is not implemented here.
"""

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from .checks import check_finite, check_k


def k_means_clusters(embeddings_NH: np.ndarray, k: int, seed: int) -> np.ndarray:
    """
    Clusters rows by k-means (k-means++ start, one run).

    Args:
        embeddings_NH: One embedding per row, shape (N, H).
        k: Number of clusters.
        seed: Determines the start.

    Returns:
        Cluster ids of shape (N,), from 0 to `k - 1`. Some ids are unused if there are fewer than `k` different rows.

    Raises:
        UserError: `k` is less than 1 or more than N, or an embedding is not finite.
    """
    embeddings_NH = np.asarray(embeddings_NH, dtype=np.float64)
    check_k(len(embeddings_NH), k)
    check_finite(embeddings_NH, "embeddings")
    with warnings.catch_warnings():
        # Said if there are fewer different rows than clusters, which callers are told above.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(n_clusters=k, init="k-means++", n_init=1, random_state=seed).fit_predict(embeddings_NH)


def select_k_centers(embeddings_NH: np.ndarray, k: int, seed: int) -> np.ndarray:
    """
    Clusters rows by k-means into `k` clusters and chooses from each the row nearest to its centroid.

    Where there are fewer than `k` different rows, some clusters stay empty; the selection is then completed with
    repeated rows, the earliest first, so that the indices are always distinct.

    Args:
        embeddings_NH: One embedding per row, shape (N, H).
        k: Number of rows to choose.
        seed: Determines the start of k-means.

    Returns:
        Distinct row indices of shape (K,), in ascending order.

    Raises:
        UserError: `k` is less than 1 or more than N, or an embedding is not finite.
    """
    embeddings_NH = np.asarray(embeddings_NH, dtype=np.float64)
    clusters_N = k_means_clusters(embeddings_NH, k, seed)
    chosen = []
    for cluster in np.unique(clusters_N):
        rows = np.flatnonzero(clusters_N == cluster)
        offsets = embeddings_NH[rows] - embeddings_NH[rows].mean(axis=0)
        chosen.append(rows[np.argmin(np.square(offsets).sum(axis=1))])
    others = np.setdiff1d(np.arange(len(embeddings_NH)), chosen)
    return np.sort(np.concatenate([chosen, others[: k - len(chosen)]]))
