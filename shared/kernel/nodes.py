"""A forest as kernel.c walks it: one array of nodes, children side by side, and the values that they compare.

Node and slot numbers come from here alone, from tables that were checked: whatever a graph holds, they stay inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.kernel.columns import Column, Operation
from shared.kernel.errors import GraphUnsupported
from shared.kernel.plan import Forest
from shared.kernel.trees import Ensemble

NARROW = np.dtype([("threshold", "f4"), ("child_slot", "u4")])
WIDE = np.dtype([("threshold", "f8"), ("child", "u4"), ("slot", "u4")])
TREE = np.dtype([("root", "u4"), ("depth", "u4")])
MOST_SLOTS = 4096  # as MAX_SLOTS in kernel.c
_NARROW_SLOTS, _NARROW_NODES = 1 << 8, 1 << 24
_MOST_NODES = 1 << 31


@dataclass(frozen=True, eq=False)
class Packed:
    columns: tuple[Column, ...]
    """Of the slots behind slot 0, which is 0."""
    nodes: NDArray[np.void]
    leaves: NDArray[np.float64]
    """By node."""
    trees: NDArray[np.void]
    first_tree: NDArray[np.int64]
    """By target, and the end."""

    @property
    def narrow(self) -> bool:
        return self.nodes.dtype == NARROW


def pack(forest: Forest) -> Packed:
    """Lay a forest out. Raises GraphUnsupported when it is too large."""
    slots = _Slots(forest)
    count = sum(_size(ensemble) for ensemble in forest.ensembles)
    if count > _MOST_NODES or len(slots.columns) >= MOST_SLOTS:
        raise GraphUnsupported(f"it has {count} nodes, and its trees read {len(slots.columns)} columns")
    narrow = slots.rounded and len(slots.columns) < _NARROW_SLOTS and count <= _NARROW_NODES
    nodes, leaves, trees = np.zeros(count, WIDE), np.zeros(count), []
    first = 0
    for ensemble in forest.ensembles:
        end = first + _size(ensemble)
        trees.append(_lay_out(ensemble, slots, first, nodes, leaves))
        first = end
    return Packed(
        slots.columns,
        _narrowed(nodes) if narrow else nodes,
        leaves,
        np.concatenate(trees),
        np.cumsum([0, *map(len, trees)], dtype=np.int64),
    )


class _Slots:
    """Where the values lie that trees compare: only those, and some of them a second time, negated.

    A node sends NaN to its second child. So where null has to go left, the right child is the first: x > t is the same
    as -x <= -t', t' being the number after t.
    """

    def __init__(self, forest: Forest) -> None:
        may_be_null = np.array([column.may_be_null for column in forest.columns], np.bool_)
        self._may_be_null = may_be_null
        width = len(forest.columns)
        plain, negated = np.zeros(width, np.bool_), np.zeros(width, np.bool_)
        for ensemble in forest.ensembles:
            is_negated = self.is_negated(ensemble)
            negated[ensemble.feature[is_negated]] = True
            plain[ensemble.feature[~is_negated]] = True
        used = [*np.flatnonzero(plain).tolist(), *np.flatnonzero(negated).tolist()]
        columns = [forest.columns[feature] for feature in used]
        self.rounded = all(column.is_rounded for column in columns)
        for index in range(int(plain.sum()), len(columns)):
            columns[index] = columns[index].then(Operation.NEGATE)
        self.columns: tuple[Column, ...] = tuple(columns)
        self._plain, self._negated = 1 + np.cumsum(plain) - 1, 1 + plain.sum() + np.cumsum(negated) - 1

    def is_negated(self, ensemble: Ensemble) -> NDArray[np.bool_]:
        """Of each split. A column that is never null need not be."""
        is_negated: NDArray[np.bool_] = ensemble.null_goes_left & self._may_be_null[ensemble.feature]
        return is_negated

    def of(self, ensemble: Ensemble) -> NDArray[np.int64]:
        """Return the slot that each split compares."""
        feature = ensemble.feature
        return np.where(self.is_negated(ensemble), self._negated[feature], self._plain[feature])

    def thresholds(self, ensemble: Ensemble) -> NDArray[np.float64]:
        """Return what each split compares its slot with."""
        floored = _floored(ensemble.threshold)
        own = floored.astype(np.float64) if self.rounded else ensemble.threshold
        with np.errstate(over="ignore"):  # the largest number is followed by infinity
            following = np.nextafter(floored, np.float32(np.inf)) if self.rounded else np.nextafter(own, np.inf)
        # Nothing is above infinity: comparing with NaN sends all to the second child.
        above = np.where(own == np.inf, np.nan, -following.astype(np.float64))
        return np.where(self.is_negated(ensemble), above, own)


def _floored(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 up to each: a float32 is below the one exactly if it is below the other."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    above = nearest > thresholds
    nearest[above] = np.nextafter(nearest[above], np.float32(-np.inf))
    return nearest


def _size(ensemble: Ensemble) -> int:
    return len(ensemble.threshold) + len(ensemble.value)


def _lay_out(
    ensemble: Ensemble, slots: _Slots, first: int, nodes: NDArray[np.void], leaves: NDArray[np.float64]
) -> NDArray[np.void]:
    """Fill in the nodes of one ensemble, from `first` on, and return its trees.

    The children of a split lie side by side; behind them all that is below the first, then all below the second. So a
    walk stays close to where it is.
    """
    negated = slots.is_negated(ensemble)
    sides = (ensemble.left, ensemble.right)
    number = [np.where(negated, sides[1 - i].number, sides[i].number) for i in (0, 1)]
    is_leaf = [np.where(negated, sides[1 - i].is_leaf, sides[i].is_leaf) for i in (0, 1)]
    below = _count_below(ensemble.levels, number, is_leaf)
    place, child = np.empty(len(negated), np.int64), np.empty(len(negated), np.int64)
    leaf_place = np.empty(len(ensemble.value), np.int64)
    place[ensemble.roots] = first + np.cumsum([0, *below[ensemble.roots] + 1])[:-1]
    child[ensemble.roots] = place[ensemble.roots] + 1
    for level in ensemble.levels:
        begin = child[level] + 2
        for i in (0, 1):
            leaf, target = is_leaf[i][level], number[i][level]
            leaf_place[target[leaf]] = child[level][leaf] + i
            place[target[~leaf]] = child[level][~leaf] + i
            child[target[~leaf]] = begin[~leaf]
            begin = begin + np.where(leaf, 0, below[np.where(leaf, 0, target)])
    nodes["threshold"][place] = slots.thresholds(ensemble)
    nodes["child"][place] = child
    nodes["slot"][place] = slots.of(ensemble)
    nodes["threshold"][leaf_place] = np.inf
    nodes["child"][leaf_place] = leaf_place
    leaves[leaf_place] = ensemble.value
    trees = np.empty(len(ensemble.roots), TREE)
    trees["root"], trees["depth"] = place[ensemble.roots], _depths(ensemble, number, is_leaf)
    return trees


def _count_below(
    levels: Sequence[NDArray[np.int64]], number: list[NDArray[np.int64]], is_leaf: list[NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """Return how many nodes there are below each split."""
    below = np.full(len(number[0]), 2, np.int64)
    for level in reversed(levels):
        for side, leaf in zip(number, is_leaf, strict=True):
            inner = level[~leaf[level]]
            below[inner] += below[side[inner]]
    return below


def _depths(ensemble: Ensemble, number: list[NDArray[np.int64]], is_leaf: list[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Return how many steps the longest way down each tree takes."""
    tree = np.empty(len(ensemble.threshold), np.int64)
    tree[ensemble.roots] = np.arange(len(ensemble.roots))
    depths = np.zeros(len(ensemble.roots), np.int64)
    for steps, level in enumerate(ensemble.levels, 1):
        depths[tree[level]] = steps
        for side, leaf in zip(number, is_leaf, strict=True):
            inner = level[~leaf[level]]
            tree[side[inner]] = tree[inner]
    return depths


def _narrowed(nodes: NDArray[np.void]) -> NDArray[np.void]:
    narrow = np.empty(len(nodes), NARROW)
    narrow["threshold"] = nodes["threshold"]
    narrow["child_slot"] = nodes["child"] << np.uint32(8) | nodes["slot"]
    return narrow
