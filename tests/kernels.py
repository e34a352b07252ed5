"""Builders for tests of the kernel: graphs of random trees and linear models, and rows on the edges of splits."""

import random
import shutil
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.trainer.export.graph import INPUT, Graph
from services.trainer.export.linear import Linear, add_linear
from services.trainer.export.tree_ensemble import add_trees
from services.trainer.export.trees import LEAF, Tree, Trees
from shared.kernel.build import build
from shared.kernel.library import Library, load_library

Matrix = NDArray[np.float64]


def can_compile() -> bool:
    return any(map(shutil.which, ("cc", "gcc", "clang")))


COMPILED = shutil.ignore_patterns("*.so", ".build-*", "__pycache__")
"""What a copy of the package leaves out: others compile meanwhile, so that it comes and goes."""

needs_compiler = pytest.mark.skipif(not can_compile(), reason="there is no C compiler here: onnxruntime serves trees")

FLOAT32 = np.finfo(np.float32)
SPECIAL = [0.0, -0.0, 5e-324, -5e-324, 1e-45, -1e-45, 1.0, -1.0, 0.1, 1e30, -1e30, 1e-30]
SPECIAL += [float(FLOAT32.max), float(FLOAT32.tiny), np.nextafter(float(FLOAT32.max), np.inf), 1.7e308, -1.7e308]


def compiled() -> Library:
    """The kernel, compiled now if it was not."""
    build()
    return load_library()


def numbers(rng: np.random.Generator, count: int) -> Matrix:
    """Ordinary numbers of all sizes, many of them equal, and some at the limits of float32 and float64."""
    ordinary = rng.normal(size=count) * 10.0 ** rng.integers(-3, 6, count)
    values = np.where(rng.random(count) < 0.5, np.round(ordinary, 1), ordinary)
    return np.where(rng.random(count) < 0.15, rng.choice(SPECIAL, count), values)


def a_tree(rng: np.random.Generator, *, features: int, depth: int, full: float, thresholds: Matrix) -> Tree:
    """A tree that stops at `depth` levels, or before with the probability 1 - `full` at each node."""
    chance = random.Random(int(rng.integers(2**63))).random  # number by number, faster than numpy's
    children: list[tuple[int, int]] = []

    def grow(levels: int) -> int:
        number = len(children)
        children.append((LEAF, LEAF))
        if levels and chance() < full:
            children[number] = grow(levels - 1), grow(levels - 1)
        return number

    grow(depth)
    left, right = np.array(children).T
    count, inner = len(children), left != LEAF
    value = numbers(rng, count)
    return Tree(
        feature=np.where(inner, rng.integers(features, size=count), 0),
        threshold=np.where(inner, rng.choice(thresholds, count), 0.0),
        null_goes_left=inner & (rng.random(count) < 0.5),
        left=left,
        right=right,
        value=np.where(np.abs(value) > 1e100, 1.0, value),
    )


def tree_graph(trees: Sequence[Sequence[Tree]], *, features: int, float32: bool, divided: bool, first: bool) -> bytes:
    """One sum per sequence of trees: with a divisor as in a forest, with a first summand as in boosting."""
    graph = Graph()
    read = Trees(
        targets=tuple(map(tuple, trees)),
        first=(0.3,) * len(trees) if first else None,
        divisor=float(len(trees[0])) if divided else None,
        float32=float32,
        link="identity",
    )
    return graph.serialize(add_trees(graph, read, INPUT), inputs=features, outputs=len(trees))


def linear_graph(rng: np.random.Generator, *, features: int, targets: int) -> bytes:
    """A linear model of scaled numbers, the nulls of every second one filled."""
    graph = Graph()
    fills = np.where(np.arange(features) % 2, rng.normal(size=features), np.nan)
    filled = graph.add("Where", graph.add("IsNaN", INPUT), graph.constant(fills), INPUT)
    centred = graph.add("Sub", filled, graph.constant(numbers(rng, features)))
    scaled = graph.add("Div", centred, graph.constant(rng.uniform(0.1, 10, features)))
    weights = numbers(rng, features * targets).reshape(features, targets)
    model = Linear(np.where(np.abs(weights) > 1e100, 1.0, weights), rng.normal(size=targets), "identity")
    return graph.serialize(add_linear(graph, model, scaled), inputs=features, outputs=targets)


def rows_for(rng: np.random.Generator, count: int, features: int, thresholds: Matrix, *, nulls: float = 0.2) -> Matrix:
    """Rows of numbers, of thresholds and of the doubles and float32 beside them, some null, some infinite."""
    near = rng.choice(thresholds, (count, features))
    with np.errstate(over="ignore"):
        rounded = near.astype(np.float32)
        beside = np.nextafter(rounded, np.where(rng.random(near.shape) < 0.5, np.inf, -np.inf).astype(np.float32))
    choices = [
        numbers(rng, near.size).reshape(near.shape),
        near,
        np.nextafter(near, np.inf),
        np.nextafter(near, -np.inf),
        rounded.astype(np.float64),
        beside.astype(np.float64),
    ]
    x = np.choose(rng.integers(len(choices), size=near.shape), choices)
    x[rng.random(x.shape) < 0.02] = np.inf
    x[rng.random(x.shape) < 0.02] = -np.inf
    x[rng.random(x.shape) < nulls] = np.nan
    return x


@st.composite
def forests(draw: st.DrawFn) -> tuple[bytes, Matrix]:
    """A graph of trees, and rows for it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    features = draw(st.one_of(st.integers(1, 5), st.integers(200, 300)))
    depth, full = draw(st.integers(0, 20)), draw(st.sampled_from([0.6, 0.8, 1.0]))
    thresholds = numbers(rng, draw(st.sampled_from([1, 3, 50, 1000])))
    thresholds = np.where(rng.random(len(thresholds)) < 0.02, np.inf, thresholds)
    count = draw(st.one_of(st.integers(1, 4), st.integers(5, 40)))
    targets = [
        [
            a_tree(
                rng, features=features, depth=min(depth, 7) if full == 1 else depth, full=full, thresholds=thresholds
            )
            for _ in range(count)
        ]
        for _ in range(draw(st.sampled_from([1, 1, 3])))
    ]
    shape = {name: draw(st.booleans()) for name in ("float32", "divided", "first")}
    rows = draw(st.sampled_from([1, 2, 15, 16, 17, 40, 600]))
    return tree_graph(targets, features=features, **shape), rows_for(rng, rows, features, thresholds)


@st.composite
def linear_models(draw: st.DrawFn) -> tuple[bytes, Matrix]:
    """A graph of a linear model, and rows for it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    features = draw(st.one_of(st.integers(1, 40), st.integers(200, 300)))
    onnx = linear_graph(rng, features=features, targets=draw(st.sampled_from([1, 1, 3])))
    rows = draw(st.sampled_from([1, 2, 9, 40, 600, 5000 // features]))
    return onnx, rows_for(rng, max(1, rows), features, numbers(rng, 100), nulls=draw(st.sampled_from([0.0, 0.1])))
