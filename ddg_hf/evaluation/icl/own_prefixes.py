# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Scores labels behind prefixes that differ from query to query, such as retrieved demonstrations.

Every group of prompts has a prefix of its own and several endings: the query, and the queries without content that
calibrate it. Prefixes are read in batches, and then all that follows each of them in one pass, as a tree: its endings
do not see one another, and behind each of them stands the tree of labels.

Shape letters as in `reading.py` and `label_trie.py`; further: G groups; N endings of a group.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from ddg_hf.data.samplers import length_sorted_batches

from .backend import Progress
from .encoding import EncodedPrompts, common_prefix_length
from .label_trie import LabelTrie, edges_of, logprobs_of_edges, sum_along_paths
from .next_tokens import plain_output_layer
from .reading import CPU_TOKENS, Branches, prefill
from .scoring import DEFAULT_TOKEN_BUDGET, SHARED_TOKENS, check_lengths, score_prompts
from .shared_prefix import SharedPrefix, SharedRows, can_share

# A longer prefix keeps a processor busy by itself, and reading it whole would take memory by its square.
LONGEST_PREFIX = CPU_TOKENS // 4


def score_groups(
    model: PreTrainedModel,
    groups: Sequence[EncodedPrompts],
    token_budget: int = DEFAULT_TOKEN_BUDGET,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """
    Log-probability of every label behind every prompt of every group.

    The same as [`~ddg_hf.evaluation.icl.scoring.score_prompts`] of each group, and much faster where prefixes are
    short. Where they are long, or a model or groups cannot be read this way, it is exactly that.

    Args:
        model: Causal language model in evaluation mode.
        groups: Prompts that begin alike, with the same labels in all groups.
        token_budget: Greatest number of tokens in the cache at once, padding included.
        progress: Told the number of groups done.

    Returns:
        Natural log-probabilities, `[N, K]` for each group.

    Raises:
        UserError: a prompt is longer than the model's context, or the model returns NaN.
    """
    first = groups[0]
    longest = max(len(group.prefix) for group in groups)
    alike = all(group.labels == first.labels and len(group.queries) == len(first.queries) for group in groups)
    has_prefixes = min(len(group.prefix) for group in groups) > 1
    # Without a plain output layer the logits of all positions of a batch would be kept.
    fits = longest <= LONGEST_PREFIX and plain_output_layer(model) is not None
    if not (alike and has_prefixes and fits and can_share(model)):
        return [_alone(model, group, token_budget, progress) for group in groups]
    return _score_together(model, groups, min(token_budget, SHARED_TOKENS), progress)


def _alone(model, group: EncodedPrompts, token_budget: int, progress: Progress | None) -> np.ndarray:
    scores_NK = score_prompts(model, group, token_budget)
    if progress is not None:
        progress(1)
    return scores_NK


@torch.inference_mode()
def _score_together(
    model: PreTrainedModel, groups: Sequence[EncodedPrompts], token_budget: int, progress: Progress | None
) -> list[np.ndarray]:
    trie = LabelTrie(groups[0].labels)
    new_tokens = max(map(len, groups[0].labels)) - 1
    for group in groups:
        check_lengths(model, group, new_tokens)
    prefixes = [np.asarray(group.prefix) for group in groups]
    # Each row has a token of its own.
    shared = min(common_prefix_length(prefixes), min(map(len, prefixes)) - 1)
    prefix = SharedPrefix(prefill(model, groups[0].prefix[:shared]), shared)
    trees = [_Tree(group.queries, trie) for group in groups]
    lengths = [len(group.prefix) - shared + len(tree.ids) for group, tree in zip(groups, trees, strict=True)]
    found: list[np.ndarray | None] = [None] * len(groups)
    for batch in length_sorted_batches(lengths, token_budget):
        rows = SharedRows(model, prefix, [groups[g].prefix[shared:] for g in batch])
        for g, scores_NK in zip(batch, _score_trees(rows, [trees[g] for g in batch], trie), strict=True):
            found[g] = scores_NK
        del rows  # before the next ones are read
        if progress is not None:
            progress(len(batch))
    return found


class _Tree:
    """
    What follows one prefix: its endings, and behind each of them the tokens of labels that have to be read.

    Attributes:
        ids: The T tokens.
        depths: Number of tokens before each of them on its own path.
        visible_TT: Whether token t sees token s.
        at: Positions of the ends of the endings, each followed by those of its label tokens: N x (1 + inner nodes).
    """

    def __init__(self, endings: Sequence[Sequence[int]], trie: LabelTrie):
        branches = trie.branches("cpu")
        label_ids = [trie.tokens[node] for node in trie.inner]
        size = sum(map(len, endings)) + len(endings) * len(label_ids)
        self.ids: list[int] = []
        self.depths: list[int] = []
        self.at: list[int] = []
        self.visible_TT = torch.zeros(size, size, dtype=torch.bool)
        for ending in endings:
            start, end = len(self.ids), len(self.ids) + len(ending)
            stop = end + len(label_ids)
            self.ids += [*ending, *label_ids]
            self.depths += [*range(len(ending)), *(len(ending) + depth for depth in branches.depths_T.tolist())]
            self.at += range(end - 1, stop)
            self.visible_TT[start:end, start:end] = torch.ones(len(ending), len(ending), dtype=torch.bool).tril()
            self.visible_TT[end:stop, start:end] = True
            self.visible_TT[end:stop, end:stop] = branches.visible_TT


def _score_trees(rows: SharedRows, trees: Sequence[_Tree], trie: LabelTrie) -> np.ndarray:
    """Log-probability `[B, N, K]` of every label behind every ending of every row, nats, float64."""
    device, longest = rows.next_B.device, max(len(tree.ids) for tree in trees)
    ids_BT = torch.zeros(len(trees), longest, dtype=torch.long)
    depths_BT = torch.zeros_like(ids_BT)
    # Padding sees itself, and is seen by nothing.
    visible_BTT = torch.eye(longest, dtype=torch.bool).repeat(len(trees), 1, 1)
    for b, tree in enumerate(trees):
        size = len(tree.ids)
        ids_BT[b, :size], depths_BT[b, :size] = torch.tensor(tree.ids), torch.tensor(tree.depths)
        visible_BTT[b, :size, :size] = tree.visible_TT
    at_BM = torch.tensor([tree.at for tree in trees], device=device)
    branches = Branches(depths_BT.to(device), visible_BTT.to(device))
    found = rows.read(range(len(trees)), ids_BT.to(device), at_BM, branches)
    # Each ending has its end, which is the root of the tree of labels, and the inner nodes of that tree.
    number = len(found) // (1 + len(trie.inner))
    at, tokens, children = edges_of(trie, enumerate([0, *trie.inner]))
    logprobs = np.zeros((number, len(trie.tokens)))
    logprobs[:, children] = logprobs_of_edges(found, number, at, tokens)
    return sum_along_paths(logprobs, trie).reshape(len(trees), -1, len(trie.label_at))
