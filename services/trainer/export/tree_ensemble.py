"""Trees as nodes of ONNX's `TreeEnsemble` in double (ai.onnx.ml 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from services.trainer.export.graph import Graph
from services.trainer.export.trees import LEAF, Tree, Trees

SUM, NO_TRANSFORM, LESS_OR_EQUAL = 1, 0, 0  # the numbers that the operator gives them


def add_trees(graph: Graph, trees: Trees, tensor: str) -> str:
    """Append the estimator and return its margins, one column per target."""
    features = graph.round_to_float32(tensor) if trees.float32 else tensor
    sums = []
    for index, target in enumerate(trees.targets):
        # The operator has no start value: a first tree of equal leaves is the first summand.
        start = () if trees.first is None else (_constant_tree(trees.first[index]),)
        sums.append(_add_ensemble(graph, [*start, *target], features))
    margins = graph.join(sums)
    if trees.divisor is None:
        return margins
    return graph.add("Div", margins, graph.constant(np.array([trees.divisor])))


@dataclass(frozen=True, eq=False)
class _Numbered:
    """A tree's nodes in the operator's numbering, which counts splits and leaves separately, over all trees."""

    split: NDArray[np.intp]
    leaf: NDArray[np.intp]
    number: NDArray[np.int64]
    """Per node, among the splits if it is one, else among the leaves."""


def _number(tree: Tree, splits_before: int, leaves_before: int) -> _Numbered:
    split, leaf = np.flatnonzero(tree.left != LEAF), np.flatnonzero(tree.left == LEAF)
    number = np.empty(len(tree.left), np.int64)
    number[split] = splits_before + np.arange(len(split))
    number[leaf] = leaves_before + np.arange(len(leaf))
    return _Numbered(split, leaf, number)


def _constant_tree(value: float) -> Tree:
    """A split whose sides are equal, since a tree of the operator needs one. Not the same leaf twice."""
    return Tree(
        feature=np.zeros(3, np.int64),
        threshold=np.full(3, np.inf),
        null_goes_left=np.zeros(3, np.bool_),
        left=np.array([1, LEAF, LEAF]),
        right=np.array([2, LEAF, LEAF]),
        value=np.full(3, value),
    )


def _add_ensemble(graph: Graph, trees: Sequence[Tree], features: str) -> str:
    """Append one node that adds a leaf of each tree, in the order given, starting from 0."""
    trees = [tree if tree.left[0] != LEAF else _constant_tree(float(tree.value[0])) for tree in trees]
    roots, numbered, splits, leaves = [], [], 0, 0
    for tree in trees:
        roots.append(splits)
        numbered.append(_number(tree, splits, leaves))
        splits, leaves = splits + len(numbered[-1].split), leaves + len(numbered[-1].leaf)
    pairs = list(zip(trees, numbered, strict=True))

    def per_split(values: list[NDArray[np.int64]] | list[NDArray[np.bool_]]) -> list[int]:
        chosen = [column[n.split] for column, n in zip(values, numbered, strict=True)]
        return [int(value) for value in np.concatenate(chosen)]

    return graph.add(
        "TreeEnsemble",
        features,
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=SUM,
        post_transform=NO_TRANSFORM,
        tree_roots=roots,
        nodes_featureids=per_split([t.feature for t in trees]),
        nodes_modes=numpy_helper.from_array(np.full(splits, LESS_OR_EQUAL, np.uint8)),
        nodes_splits=numpy_helper.from_array(np.concatenate([t.threshold[n.split] for t, n in pairs])),
        nodes_missing_value_tracks_true=per_split([t.null_goes_left for t in trees]),
        nodes_truenodeids=per_split([n.number[t.left] for t, n in pairs]),
        nodes_trueleafs=per_split([t.left[t.left] == LEAF for t in trees]),
        nodes_falsenodeids=per_split([n.number[t.right] for t, n in pairs]),
        nodes_falseleafs=per_split([t.left[t.right] == LEAF for t in trees]),
        leaf_targetids=[0] * leaves,
        leaf_weights=numpy_helper.from_array(np.concatenate([t.value[n.leaf] for t, n in pairs])),
    )
