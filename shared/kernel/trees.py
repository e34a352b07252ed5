"""`TreeEnsemble` nodes as checked tables: whoever walks them needs to check nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.kernel.errors import GraphDamaged, GraphUnsupported

MOST_LEVELS = 4096
"""A deeper tree is a chain, and a pass over the table for each of its levels would take minutes."""
_FIXED = {"n_targets": 1, "aggregate_function": 1, "post_transform": 0}  # one sum per row, and nothing after it
_LISTS = (
    "tree_roots",
    "nodes_featureids",
    "nodes_missing_value_tracks_true",
    "nodes_truenodeids",
    "nodes_trueleafs",
    "nodes_falsenodeids",
    "nodes_falseleafs",
    "leaf_targetids",
)
_TENSORS = {"nodes_modes": np.uint8, "nodes_splits": np.float64, "leaf_weights": np.float64}

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Side:
    """Where the splits lead on one side."""

    number: Integers
    """Of a split or a leaf, which are counted separately."""
    is_leaf: Flags


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trees whose leaves are added in their order. Every split and leaf is in exactly one place of one tree."""

    roots: Integers
    feature: Integers
    threshold: NDArray[np.float64]
    null_goes_left: Flags
    left: Side
    right: Side
    value: NDArray[np.float64]
    """Of each leaf."""
    levels: tuple[Integers, ...]
    """The splits on each level, the roots first."""


def read_ensemble(attributes: Mapping[str, int | NDArray[Any]], width: int) -> Ensemble:
    """Check the attributes of a `TreeEnsemble` whose input has `width` columns.

    Raises:
        GraphUnsupported, GraphDamaged
    """
    if set(attributes) != {*_FIXED, *_LISTS, *_TENSORS}:
        raise GraphUnsupported(f"a TreeEnsemble has the attributes {sorted(attributes)}")
    if any(not isinstance(attributes[name], int) or attributes[name] != value for name, value in _FIXED.items()):
        raise GraphUnsupported("a TreeEnsemble is no plain sum")
    lists = {name: _vector(attributes[name], name, np.int64) for name in _LISTS}
    tensors = {name: _vector(attributes[name], name, dtype) for name, dtype in _TENSORS.items()}
    _check_lengths(lists, tensors)
    if tensors["nodes_modes"].any():
        raise GraphUnsupported("a split is something else than <=")
    if np.isnan(tensors["nodes_splits"]).any():
        raise GraphDamaged("a threshold is not a number")
    splits, leaves = len(tensors["nodes_splits"]), len(tensors["leaf_weights"])
    if not len(lists["tree_roots"]):
        raise GraphDamaged("a TreeEnsemble has no tree")
    _check_range(lists["nodes_featureids"], width, "feature")
    _check_range(lists["tree_roots"], splits, "root")
    _check_range(lists["leaf_targetids"], 1, "target")
    left, right = (_side(lists, side, splits, leaves) for side in ("true", "false"))
    return Ensemble(
        lists["tree_roots"],
        lists["nodes_featureids"],
        tensors["nodes_splits"],
        _flags(lists["nodes_missing_value_tracks_true"]),
        left,
        right,
        tensors["leaf_weights"],
        _levels(lists["tree_roots"], (left, right), splits, leaves),
    )


def _vector(value: int | NDArray[Any], name: str, dtype: type) -> NDArray[Any]:
    if isinstance(value, int) or value.dtype != dtype or value.ndim != 1:
        raise GraphUnsupported(f"{name} of a TreeEnsemble is no list of {dtype.__name__}")
    return value


def _check_lengths(lists: Mapping[str, Integers], tensors: Mapping[str, NDArray[Any]]) -> None:
    splits, leaves = len(tensors["nodes_splits"]), len(tensors["leaf_weights"])
    per_split = [len(lists[name]) for name in _LISTS if name.startswith("nodes_")]
    if {len(tensors["nodes_modes"]), *per_split} != {splits} or len(lists["leaf_targetids"]) != leaves:
        raise GraphDamaged("the lists of a TreeEnsemble differ in length")


def _check_range(values: Integers, end: int, what: str) -> None:
    if len(values) and not 0 <= values.min() <= values.max() < end:
        raise GraphDamaged(f"{what} {values.min()} or {values.max()} is not among {end}")


def _flags(values: Integers) -> Flags:
    _check_range(values, 2, "flag")
    return values.astype(np.bool_)


def _side(lists: Mapping[str, Integers], side: str, splits: int, leaves: int) -> Side:
    number, is_leaf = lists[f"nodes_{side}nodeids"], _flags(lists[f"nodes_{side}leafs"])
    _check_range(number[is_leaf], leaves, "leaf")
    _check_range(number[~is_leaf], splits, "split")
    return Side(number, is_leaf)


def _levels(roots: Integers, sides: tuple[Side, Side], splits: int, leaves: int) -> tuple[Integers, ...]:
    """Walk down all trees at once: what is referred to twice, or not at all, is in a loop or in no tree."""
    inner = np.concatenate([roots, *(side.number[~side.is_leaf] for side in sides)])
    outer = np.concatenate([side.number[side.is_leaf] for side in sides])
    if (np.bincount(inner, minlength=splits) != 1).any() or (np.bincount(outer, minlength=leaves) != 1).any():
        raise GraphDamaged("a split or a leaf is in no tree, or in two places")
    levels, level = [], roots
    while len(level):
        levels.append(level)
        if len(levels) > MOST_LEVELS:
            raise GraphUnsupported(f"a tree has more than {MOST_LEVELS} levels")
        level = np.concatenate([side.number[level][~side.is_leaf[level]] for side in sides])
    if sum(map(len, levels)) != splits:
        raise GraphDamaged("some splits only lead to each other")
    return tuple(levels)
