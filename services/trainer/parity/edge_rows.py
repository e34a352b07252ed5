"""Rows on the edge of a split: the last double that goes left, and the next, which goes right."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.trainer.export.trees import LEAF, Tree, Trees
from services.trainer.parity.reference import Matrix
from services.trainer.parity.rows import cycle
from services.trainer.parity.thresholds import Edges

MOST_SPLITS = 20_000
"""Of which `split_rows` makes two rows each: about 1 s for a forest of 200 trees."""


def threshold_rows(edges: Sequence[Edges], data: Matrix) -> Matrix:
    """Return rows for every threshold: one edge of each number in one row, and the same rows one double further."""
    by_input: dict[int, list[Matrix]] = defaultdict(list)
    for edge in edges:
        by_input[edge.input].append(edge.raw)
    values = {column: np.unique(np.concatenate(raw)) for column, raw in by_input.items()}
    rows = cycle(data, max(map(len, values.values()), default=0))
    further = rows.copy()
    for column, raw in values.items():
        if len(raw):
            rows[:, column] = np.resize(raw, len(rows))
            further[:, column] = np.nextafter(rows[:, column], np.inf)
    return np.concatenate([rows, further])


def split_rows(
    edges: Sequence[Edges], trees: Trees, data: Matrix, transformed: Matrix, rng: np.random.Generator
) -> Matrix:
    """Return, for each split, two rows that reach it and are on its edge: one goes left, one right.

    A row of the data that reaches the split reaches it on the edge too, since the threshold lies between rows that do.
    Trees are taken in random order until there are `MOST_SPLITS` splits; one that no row reaches is left out.

    Args:
        data: rows that walk down the trees; a few thousand are enough.
        transformed: the same rows as the estimator sees them.
    """
    seen = transformed.astype(np.float32) if trees.float32 else transformed
    by_feature = {edge.feature: edge for edge in edges}
    every = [tree for target in trees.targets for tree in target]
    pairs: list[Matrix] = []
    splits = 0
    for index in rng.permutation(len(every)):
        if splits >= MOST_SPLITS:
            break
        found = _rows_of_tree(every[index], by_feature, data, _visitors(every[index], seen))
        pairs += found
        splits += sum(map(len, found)) // 2
    return np.concatenate(pairs) if pairs else data[:0]


def _visitors(tree: Tree, seen: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return per node a row that reaches it, or -1."""
    visitors = np.full(len(tree.left), -1)
    rows, nodes = np.arange(len(seen)), np.zeros(len(seen), np.int64)
    while len(rows):
        visitors[nodes] = rows
        inner = tree.left[nodes] != LEAF
        rows, nodes = rows[inner], nodes[inner]
        values = seen[rows, tree.feature[nodes]]
        left = np.where(np.isnan(values), tree.null_goes_left[nodes], values <= tree.threshold[nodes])
        nodes = np.where(left, tree.left[nodes], tree.right[nodes])
    return visitors


def _rows_of_tree(tree: Tree, by_feature: dict[int, Edges], data: Matrix, visitors: NDArray[np.intp]) -> list[Matrix]:
    reached = np.flatnonzero((tree.left != LEAF) & (visitors >= 0))
    found = []
    for feature in np.unique(tree.feature[reached]).tolist():
        if edge := by_feature.get(feature):
            nodes = reached[tree.feature[reached] == feature]
            nodes = nodes[np.isin(tree.threshold[nodes], edge.thresholds)]
            rows = data[visitors[nodes]]
            rows[:, edge.input] = edge.at(tree.threshold[nodes])
            further = rows.copy()
            further[:, edge.input] = np.nextafter(rows[:, edge.input], np.inf)
            found += [rows, further]
    return found
