# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The tree of labels: shared tokens are read once, and the best label is found without finishing the others."""

import numpy as np
import pytest
import torch

from ddg_hf.evaluation.icl import label_trie
from ddg_hf.evaluation.icl.label_trie import LabelTrie, find_best, score_all
from ddg_hf.evaluation.icl.next_tokens import NextTokens

VOCABULARY = 12


class FakeRows:
    """Rows whose logits are a function of the row and the path behind it."""

    def __init__(self, num_rows: int, seed: int, can_branch: bool = True, sharpness: float = 1.0):
        self.seed, self.can_branch, self.sharpness = seed, can_branch, sharpness
        self.reads: list[int] = []
        self.next_B = NextTokens(torch.stack([self.logits(row, []) for row in range(num_rows)]))
        # Of each row: its number, and the tokens that are kept behind it.
        self.kept: list[tuple[int, list[int]]] = [(row, []) for row in range(num_rows)]

    def logits(self, row: int, path) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, row, *path])
        return torch.from_numpy(self.sharpness * rng.normal(size=VOCABULARY))

    def read(self, rows, ids_RT, at_RM, branches=None):
        self.reads.append(len(rows))
        size = ids_RT.shape[1]
        visible = torch.ones(size, size).tril().bool() if branches is None else branches.visible_TT
        result = []
        for row, ids, at in zip(rows, ids_RT.tolist(), at_RM.tolist(), strict=True):
            paths = [[ids[s] for s in range(size) if visible[t, s]] for t in at]
            result.append(torch.stack([self.logits(row, path) for path in paths]))
        return NextTokens(torch.cat(result))

    @property
    def num_kept(self):
        return len(self.kept[0][1])

    def select(self, rows):
        self.kept = [self.kept[row] for row in rows]

    def grow(self, ids_BT, depths_BT, seen_BTS):
        self.reads.append(ids_BT.numel())
        result = []
        for (row, tokens), ids, depths, seen in zip(self.kept, ids_BT.tolist(), depths_BT, seen_BTS, strict=True):
            for token, depth, sees in zip(ids, depths.tolist(), seen.tolist(), strict=True):
                path = [t for t, s in zip(tokens, sees, strict=True) if s]
                assert len(path) == depth
                result.append(self.logits(row, [*path, token]))
            tokens.extend(ids)
        return NextTokens(torch.stack(result))


def random_labels(rng, number: int) -> list[list[int]]:
    """Different labels, none of which begins another one: all end with a token of their own."""
    labels = {tuple(rng.integers(1, 4, rng.integers(0, 4)).tolist()) for _ in range(200)}
    return [[*label, 0] for label in sorted(labels)][:number]


def plain_scores(rows: FakeRows, labels) -> np.ndarray:
    scores = [
        [sum(rows.logits(row, x[:t]).log_softmax(-1)[x[t]].item() for t in range(len(x))) for x in labels]
        for row in range(len(rows.next_B))
    ]
    return np.array(scores)


@pytest.mark.parametrize("can_branch", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_scores_and_the_best_label(seed, can_branch):
    labels = random_labels(np.random.default_rng(seed), 25)
    trie = LabelTrie(labels)
    rows = FakeRows(6, seed, can_branch)
    expected_BK = plain_scores(rows, labels)
    np.testing.assert_allclose(score_all(rows, trie), expected_BK, atol=1e-9)
    np.testing.assert_array_equal(find_best(rows, trie)[0], expected_BK.argmax(axis=1))


def test_paths_that_are_followed_at_once(monkeypatch):
    """More of them at once: fewer passes over more paths, and the same labels."""
    labels = [[a, b, c, 0] for a in (1, 2, 3) for b in (1, 2, 3) for c in (1, 2, 3)]
    passes, read = [], []
    for paths in (1, 20, 1000):
        monkeypatch.setattr(label_trie, "PATHS_AT_ONCE", paths)
        rows = FakeRows(9, 3, sharpness=2.0)
        found, _ = find_best(rows, LabelTrie(labels))
        np.testing.assert_array_equal(found, plain_scores(rows, labels).argmax(axis=1))
        passes.append(len(rows.reads))
        read.append(sum(rows.reads))
    assert passes == sorted(passes, reverse=True) and passes[0] > passes[-1]
    assert read == sorted(read) and read[0] < read[-1]


def test_labels_of_one_token_are_not_read():
    rows = FakeRows(4, 0)
    trie = LabelTrie([[3], [5], [1]])
    np.testing.assert_allclose(score_all(rows, trie), plain_scores(rows, [[3], [5], [1]]), atol=1e-9)
    assert find_best(rows, trie)[0].tolist() == plain_scores(rows, [[3], [5], [1]]).argmax(axis=1).tolist()
    assert rows.reads == []


def test_common_tokens_are_read_once():
    trie = LabelTrie([[1, 2, 3], [1, 2, 4], [1, 5]])
    assert [[trie.tokens[n] for n in trie.path(node)] for node in trie.inner] == [[1], [1, 2]]
    branches = trie.branches("cpu")
    assert branches.depths_T.tolist() == [0, 1]
    assert branches.visible_TT.tolist() == [[True, False], [True, True]]


def test_best_label_is_found_without_finishing_the_others(monkeypatch):
    monkeypatch.setattr(label_trie, "PATHS_AT_ONCE", 1)
    labels = random_labels(np.random.default_rng(0), 40)
    trie = LabelTrie(labels)
    rows = FakeRows(20, 1, sharpness=5.0)
    found, _ = find_best(rows, trie)
    np.testing.assert_array_equal(found, plain_scores(rows, labels).argmax(axis=1))
    # Far fewer paths are read than the tree has, for each row.
    assert sum(rows.reads) < 20 * len(trie.inner) / 3


@pytest.mark.parametrize("can_branch", [True, False])
def test_of_equal_labels_the_first_wins(can_branch):
    class Equal(FakeRows):
        def logits(self, row, path):
            return torch.zeros(VOCABULARY, dtype=torch.float64)

    for labels, best, tied in (
        ([[7], [3], [5]], 0, True),
        ([[7, 1], [3], [5]], 1, True),  # one token is likelier than two
        ([[7, 1], [3]], 1, False),
        ([[7, 1], [3, 2]], 0, True),
    ):
        rows = Equal(2, 0, can_branch)
        found, ties = find_best(rows, LabelTrie(labels))
        assert found.tolist() == [best, best] and ties.tolist() == [tied, tied]


@pytest.mark.parametrize("labels", [[[1], [1]], [[1], [1, 2]]])
def test_labels_must_differ(labels):
    with pytest.raises(AssertionError):
        LabelTrie(labels)
