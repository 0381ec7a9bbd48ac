# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
The labels of a task as a tree of tokens, so that tokens that labels begin with in common are read once.

Shape letters: K labels; M tokens of the tree; T those of them that have to be read; B rows; E pairs of a position and
a token that may follow it.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .next_tokens import NextTokens
from .reading import Branches, BranchingRows, Rows, pad_right, read_batches

PATHS_AT_ONCE = 256
# Numbers kept of a batch of trees, hidden states or logits: 2**27 float32 values are 512 MiB.
MAX_STATES = 2**27


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
        """Nodes from the first token to `node`."""
        nodes: list[int] = []
        while node:
            nodes.append(node)
            node = self.parents[node]
        return nodes[::-1]

    def branches(self, device) -> Branches:
        """How the tokens that have to be read see one another."""
        index = {node: t for t, node in enumerate(self.inner)}
        visible_TT = torch.eye(len(self.inner), dtype=torch.bool)
        for node, t in index.items():  # parents come before their children
            if self.parents[node]:
                visible_TT[t] |= visible_TT[index[self.parents[node]]]
        depths_T = torch.tensor([self.depths[node] - 1 for node in self.inner])
        return Branches(depths_T.to(device), visible_TT.to(device))


def edges_of(trie: LabelTrie, nodes: Iterable[tuple[int, int]]) -> tuple[list[int], list[int], list[int]]:
    """
    What may follow some nodes, given as pairs of a position and a node: the positions, the tokens, and the nodes that
    they lead to, each a list of E.
    """
    edges = [(at, token, child) for at, node in nodes for token, child in trie.children[node].items()]
    at, tokens, children = (list(column) for column in zip(*edges, strict=True))
    return at, tokens, children


def score_all(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """Log-probability of every label behind every row, `[B, K]`, nats, float64."""
    return sum_along_paths(_edges(rows, trie) if rows.can_branch else _edges_by_label(rows, trie), trie)


def sum_along_paths(logprobs_BM: np.ndarray, trie: LabelTrie) -> np.ndarray:
    """
    Log-probability of every label, `[B, K]`, from those of each token behind the path to its parent, `[B, M]`, which
    are overwritten.
    """
    for node in range(1, len(trie.tokens)):  # parents come before their children
        logprobs_BM[:, node] += logprobs_BM[:, trie.parents[node]]
    leaves = sorted(trie.label_at, key=trie.label_at.__getitem__)
    return logprobs_BM[:, leaves]


def _first(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """`[B, M]` with the log-probabilities of the first tokens; 0 for the others and the root."""
    logprobs_BM = np.zeros((len(rows.next_B), len(trie.tokens)))
    _, tokens, children = edges_of(trie, [(0, 0)])
    logprobs_BM[:, children] = logprobs_of_edges(rows.next_B, len(logprobs_BM), [0] * len(tokens), tokens)
    return logprobs_BM


def logprobs_of_edges(found: NextTokens, num_rows: int, at_E: Sequence[int], tokens_E: Sequence[int]) -> np.ndarray:
    """Log-probability `[B, E]` of each of E tokens at the same positions `at_E` of every row."""
    offsets_B = np.arange(num_rows)[:, None] * (len(found) // num_rows)
    at_BE = offsets_B + np.asarray(at_E)
    tokens_BE = np.broadcast_to(np.asarray(tokens_E), at_BE.shape)
    return found.logprobs(at_BE.ravel(), tokens_BE.ravel()).view(at_BE.shape).cpu().numpy()


def _edges(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """Log-probability `[B, M]` of each token behind the path to its parent: the whole tree is read at once."""
    logprobs_BM, device = _first(rows, trie), rows.next_B.device
    if not trie.inner:
        return logprobs_BM
    ids_T = torch.tensor([trie.tokens[node] for node in trie.inner], device=device)
    at, tokens, children = edges_of(trie, enumerate(trie.inner))
    branches, steps_T = trie.branches(device), torch.arange(len(ids_T), device=device)
    # Where it is logits that are kept, they must not be too many.
    most = max(1, MAX_STATES // (len(ids_T) * rows.next_B.states_NH.shape[1]))
    batches = read_batches([len(ids_T)] * len(logprobs_BM), device)
    for some in (batch[start : start + most] for batch in batches for start in range(0, len(batch), most)):
        shape = (len(some), -1)
        found = rows.read(some, ids_T.expand(shape), steps_T.expand(shape), branches)
        logprobs_BM[np.ix_(some, children)] = logprobs_of_edges(found, len(some), at, tokens)
    return logprobs_BM


def _edges_by_label(rows: Rows, trie: LabelTrie) -> np.ndarray:
    """The same for rows that cannot branch: one path after the other."""
    logprobs_BM, everyone = _first(rows, trie), list(range(len(rows.next_B)))
    # Every inner node lies on the path to one of these.
    for node in (n for n in trie.inner if not any(trie.children[child] for child in trie.children[n].values())):
        path = trie.path(node)
        ids = torch.tensor([trie.tokens[n] for n in path], device=rows.next_B.device).expand(len(everyone), -1)
        at_RM = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        at, tokens, children = edges_of(trie, enumerate(path))
        logprobs_BM[:, children] = logprobs_of_edges(rows.read(everyone, ids, at_RM), len(everyone), at, tokens)
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


_Opened = dict[int, list[_Path]]
"""Paths that are to grow, of each row that is not done."""


def find_best(rows: Rows, trie: LabelTrie) -> tuple[np.ndarray, np.ndarray]:
    """
    The most likely label behind every row, `[B]`, without finishing the others, and whether another one is exactly as
    likely, `[B]`; of these the one with the lower id is found.

    Best-first search: the log-probability of a path only falls as it grows, so a label that is better than every path
    that can still grow is the best one. A pass over few tokens takes as long as one over [`PATHS_AT_ONCE`], as it has
    to fetch the same weights: when few rows are left, each of them follows several paths at once.
    """
    first_BM = _first(rows, trie)
    best_B, tied_B = np.full(len(first_BM), -1), np.zeros(len(first_BM), dtype=bool)
    paths = {
        row: [_path(trie, node, logprobs_M[node]) for node in trie.children[0].values()]
        for row, logprobs_M in enumerate(first_BM)
    }
    # Every path of rows that cannot branch is a copy of its row, prefix included.
    grow, at_once = (_Growing(rows, trie), PATHS_AT_ONCE) if rows.can_branch else (_Rereading(rows, trie), 1)
    while True:
        for row, own in list(paths.items()):
            own.sort()
            if own[0].is_label:
                best_B[row] = own[0].label_or_node
                tied_B[row] = len(own) > 1 and own[1].cost == own[0].cost
                del paths[row]
        if not paths:
            return best_B, tied_B
        opened: _Opened = {}
        for row, own in paths.items():
            # Behind the first label nothing can win.
            growing = list(itertools.takewhile(lambda path: not path.is_label, own))
            opened[row] = growing[: max(1, at_once // len(paths))]
            paths[row] = own[len(opened[row]) :]
        members = [(row, path) for row, some in opened.items() for path in some]
        for e, child, logprob in grow(opened):
            row, path = members[e]
            paths[row].append(_path(trie, child, logprob - path.cost))


def _path(trie: LabelTrie, node: int, logprob: float) -> _Path:
    label = trie.label_at.get(node)
    return _Path(-logprob, label is not None, node if label is None else label, node)


class _Growing:
    """Reads the last token of each path, for rows that keep the tokens of their paths."""

    def __init__(self, rows: BranchingRows, trie: LabelTrie):
        self.rows, self.trie = rows, trie
        self.left = list(range(len(rows.next_B)))
        # Where the tokens of a row's paths are kept: those of the path to a node.
        self.kept_at: dict[tuple[int, int], list[int]] = {}

    def __call__(self, opened: _Opened) -> list[tuple[int, int, float]]:
        """
        Returns (number of a path, node, log-probability) for every node that follows a path; `opened` has the rows in
        their order, and those that are missing are done.
        """
        kept = [i for i, row in enumerate(self.left) if row in opened]
        if len(kept) < len(self.left):
            self.rows.select(kept)
            self.left = [self.left[i] for i in kept]
        assert self.left == list(opened)
        device, start, most = self.rows.next_B.device, self.rows.num_kept, max(map(len, opened.values()))
        ids = np.zeros((len(opened), most), np.int64)
        depths, seen = np.zeros_like(ids), np.zeros((*ids.shape, start), dtype=bool)
        places, nodes = [], []
        for b, (row, some) in enumerate(opened.items()):
            for t, node in enumerate(path.node for path in some):
                before = self.kept_at.get((row, self.trie.parents[node]), [])
                ids[b, t], depths[b, t] = self.trie.tokens[node], self.trie.depths[node] - 1
                seen[b, t, before] = True
                self.kept_at[row, node] = [*before, start + t]
                places.append(b * most + t)
                nodes.append(node)
        found = self.rows.grow(*(torch.from_numpy(x).to(device) for x in (ids, depths, seen)))
        at, tokens, children = edges_of(self.trie, enumerate(nodes))
        logprobs = found[torch.tensor(places, device=device)].logprobs(at, tokens)
        return list(zip(at, children, logprobs.tolist(), strict=True))


class _Rereading:
    """The same for rows that keep nothing: every path is read from its beginning."""

    def __init__(self, rows: Rows, trie: LabelTrie):
        self.rows, self.trie = rows, trie

    def __call__(self, opened: _Opened) -> list[tuple[int, int, float]]:
        """See [`_Growing`]."""
        members = [(row, path.node) for row, some in opened.items() for path in some]
        device, grown = self.rows.next_B.device, []
        for some in read_batches([self.trie.depths[node] for _, node in members], device):
            tokens_read = [[self.trie.tokens[node] for node in self.trie.path(members[e][1])] for e in some]
            ids_RT, lengths_R = pad_right(tokens_read, device)
            found = self.rows.read([members[e][0] for e in some], ids_RT, lengths_R[:, None] - 1)
            at, tokens, children = edges_of(self.trie, enumerate(members[e][1] for e in some))
            logprobs = found.logprobs(at, tokens).tolist()
            grown += [(some[i], child, logprob) for i, child, logprob in zip(at, children, logprobs, strict=True)]
        return grown
