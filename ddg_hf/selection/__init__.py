# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Selection rules: pure functions that choose rows, of generated sets as well as of real data."""

from .dpp import select_dpp, select_dpp_greedy
from .generator_loss import select_by_generator_loss
from .gradient_matching import select_by_gradient
from .herding import select_herding
from .k_centers import k_means_clusters, select_k_centers
from .likelihood import choose_sets, mean_label_loglikelihood
from .random import select_random
from .vote_k import select_vote_k

__all__ = [
    "choose_sets",
    "k_means_clusters",
    "mean_label_loglikelihood",
    "select_by_generator_loss",
    "select_by_gradient",
    "select_dpp",
    "select_dpp_greedy",
    "select_herding",
    "select_k_centers",
    "select_random",
    "select_vote_k",
]
