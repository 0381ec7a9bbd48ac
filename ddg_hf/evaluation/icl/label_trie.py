# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
The labels of a task as a tree of tokens, so that tokens that labels begin with in common are read once.

Shape letters: K labels; M tokens of the tree; T those of them that have to be read; B rows; V vocabulary.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .reading import Branches, Rows

# Logits held at once: 2**27 float32 values are 512 MiB.
MAX_LOGITS = 2**27
PATHS_AT_ONCE = 64


class LabelTrie:
    """
    A tree whose paths from the root to a leaf are the labels.

    Node 0 is the root, before the first token. Every other node is a token behind the path to its parent. No label may
    begin another one ([`~ddg_hf.evaluation.icl.encoding.encode_prompts`] ends them with a newline where one would).

    Args:
        labels: Tokens of each label.
    """

    def __init__(self, labels: Sequence[Sequence[int]]):
        self.children: list[dict[int, int]] = [{}]
        self.parents, self.tokens, self.depths = [0], [-1], [0]
        self.label_at: dict[int, int] = {}
        for label, tokens in enumerate(labels):
            node = 0
            for token in tokens:
                if token not in self.children[node]:
                    self._add(node, token)
                node = self.children[node][token]
            self.label_at[node] = label
        assert len(self.label_at) == len(labels), "two labels have the same tokens"
        assert not any(self.children[node] for node in self.label_at), "a label begins another one"
        # What has to be read: the last token of a label is only predicted.
        self.inner = [node for node in range(1, len(self.tokens)) if self.children[node]]

    def _add(self, parent: int, token: int) -> None:
        self.children[parent][token] = len(self.tokens)
        self.children.append({})
        self.parents.append(parent)
        self.tokens.append(token)
        self.depths.append(self.depths[parent] + 1)

    def path(self, node: int) -> list[int]:
        """Tokens from the root to `node`."""
        tokens: list[int] = []
        while node:
            tokens.append(self.tokens[node])
            node = self.parents[node]
        return tokens[::-1]

    def branches(self, device) -> Branches:
        """How the tokens that have to be read see one another."""
        index = {node: t for t, node in enumerate(self.inner)}
        visible_TT = torch.eye(len(self.inner), dtype=torch.bool)
        for node, t in index.items():  # parents come before their children
            if self.parents[node]:
                visible_TT[t] |= visible_TT[index[self.parents[node]]]
        depths_T = torch.tensor([self.depths[node] - 1 for node in self.inner])
        return Branches(depths_T.to(device), visible_TT.to(device))


def token_logprobs(logits_BMV: torch.Tensor, at: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
    """Log-probability `[B, E]`, nats, of each of E tokens at position `at` of M."""
    at_E = torch.as_tensor(at, device=logits_BMV.device)
    tokens_E = torch.as_tensor(tokens, device=logits_BMV.device)
    return logits_BMV[:, at_E, tokens_E] - logits_BMV.logsumexp(-1)[:, at_E]


def score_all(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """Log-probability of every label behind every row, `[B, K]`, nats, float64."""
    logprobs_BM = _edges(rows, trie) if rows.can_branch else _edges_by_label(rows, trie)
    for node in range(1, len(trie.tokens)):  # parents come before their children
        logprobs_BM[:, node] += logprobs_BM[:, trie.parents[node]]
    leaves = sorted(trie.label_at, key=trie.label_at.__getitem__)
    return logprobs_BM[:, leaves]


def _first(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """`[B, M]` with the log-probabilities of the first tokens; 0 for the others and the root."""
    logprobs_BM = np.zeros((len(rows.logits_BV), len(trie.tokens)))
    first = list(trie.children[0].values())
    tokens = [trie.tokens[node] for node in first]
    logprobs_BM[:, first] = token_logprobs(rows.logits_BV[:, None], [0] * len(first), tokens).cpu().numpy()
    return logprobs_BM


def _edges(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """Log-probability `[B, M]` of each token behind the path to its parent: the whole tree is read at once."""
    logprobs_BM, logits_BV = _first(rows, trie), rows.logits_BV
    if not trie.inner:
        return logprobs_BM
    device = logits_BV.device
    ids_T = torch.tensor([trie.tokens[node] for node in trie.inner], device=device)
    edges = [(t, token, child) for t, node in enumerate(trie.inner) for token, child in trie.children[node].items()]
    at, tokens, nodes = (list(column) for column in zip(*edges, strict=True))
    branches, steps_T = trie.branches(device), torch.arange(len(ids_T), device=device)
    size = max(1, MAX_LOGITS // (len(ids_T) * logits_BV.shape[1]))
    for start in range(0, len(logits_BV), size):
        some = list(range(start, min(start + size, len(logits_BV))))
        shape = (len(some), -1)
        logits_RTV = rows.read(some, ids_T.expand(shape), steps_T.expand(shape), branches)
        logprobs_BM[np.ix_(some, nodes)] = token_logprobs(logits_RTV, at, tokens).cpu().numpy()
    return logprobs_BM


def _edges_by_label(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """The same for rows that cannot branch: one path after the other."""
    logprobs_BM, everyone = _first(rows, trie), list(range(len(rows.logits_BV)))
    # Every inner node lies on the path to one of these.
    for node in (n for n in trie.inner if not any(trie.children[child] for child in trie.children[n].values())):
        ids = torch.tensor(trie.path(node), device=rows.logits_BV.device).expand(len(everyone), -1)
        at_RM = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        logits_RMV = rows.read(everyone, ids, at_RM)
        while node:
            tokens, children = zip(*trie.children[node].items(), strict=True)
            at = [trie.depths[node] - 1] * len(tokens)
            logprobs_BM[:, list(children)] = token_logprobs(logits_RMV, at, tokens).cpu().numpy()
            node = trie.parents[node]
    return logprobs_BM


@dataclass(order=True, frozen=True)
class _Path:
    """
    A path from the root, the likeliest first. Of equal ones those that can still grow come first, and of equal labels
    the one with the lower id.
    """

    cost: float
    is_label: bool
    label_or_node: int
    node: int


def find_best(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """
    The most likely label behind every row, `[B]`, without finishing the others.

    Best-first search: the log-probability of a path only falls as it grows, so a label that is better than every path
    that can still grow is the best one. A pass over few tokens takes as long as one over [`PATHS_AT_ONCE`], as it has
    to fetch the same weights: when few rows are left, each of them follows several paths at once.
    """
    first_BM = _first(rows, trie)
    best = np.full(len(first_BM), -1)
    # Of each row that is not done, its paths.
    paths = {
        row: [_path(trie, node, logprobs_M[node]) for node in trie.children[0].values()]
        for row, logprobs_M in enumerate(first_BM)
    }
    while paths:
        opened: list[tuple[int, _Path]] = []
        for row, own in list(paths.items()):
            own.sort()
            if own[0].is_label:
                best[row] = own[0].node
                del paths[row]
        for row, own in paths.items():
            # Behind the first label nothing can win.
            growing = list(itertools.takewhile(lambda path: not path.is_label, own))
            chosen = growing[: max(1, PATHS_AT_ONCE // len(paths))]
            opened += [(row, path) for path in chosen]
            paths[row] = own[len(chosen) :]
        if opened:
            _grow(rows, trie, paths, opened)
    return np.array([trie.label_at[node] for node in best.tolist()])


def _path(trie: LabelTrie, node: int, logprob: float) -> _Path:
    label = trie.label_at.get(node)
    return _Path(-logprob, label is not None, node if label is None else label, node)


def _grow(rows: Rows, trie: LabelTrie, paths: dict[int, list[_Path]], opened: list[tuple[int, _Path]]) -> None:
    """Reads some paths behind their rows and adds the paths that are longer by a token to those of the row."""
    tokens_read = [trie.path(path.node) for _, path in opened]
    longest = max(map(len, tokens_read))
    device = rows.logits_BV.device
    ids_RT = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens in tokens_read], device=device)
    at_R1 = torch.tensor([[len(tokens) - 1] for tokens in tokens_read], device=device)
    logits_R1V = rows.read([row for row, _ in opened], ids_RT, at_R1)
    for i, (row, path) in enumerate(opened):
        tokens, children = zip(*trie.children[path.node].items(), strict=True)
        found = token_logprobs(logits_R1V[i : i + 1], [0] * len(tokens), tokens)[0].tolist()
        paths[row] += [_path(trie, child, more - path.cost) for child, more in zip(children, found, strict=True)]
