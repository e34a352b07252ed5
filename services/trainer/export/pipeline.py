"""From a fitted pipeline to its graph."""

from typing import Any

from sklearn.pipeline import Pipeline

from services.trainer.export.exported import Exported, ExportRefused
from services.trainer.export.graph import Graph
from services.trainer.export.linear import LINEAR_ESTIMATORS, add_linear, read_linear
from services.trainer.export.preprocessing import add_preprocessing
from services.trainer.export.steps import describe
from services.trainer.export.tree_ensemble import add_trees
from services.trainer.export.trees import TREE_ESTIMATORS, read_trees

LARGEST_ARTIFACT = 50_000_000
"""Bytes. Every replica holds two versions while one replaces the other."""
BYTES_PER_NODE = 20
"""Measured, splits and leaves together, weights and thresholds in double."""


def export_pipeline(pipeline: Any, *, largest: int = LARGEST_ARTIFACT) -> Exported:
    """Export a fitted `Pipeline` of a `ColumnTransformer` and an estimator.

    Args:
        largest: the most bytes that a graph may take.

    Raises:
        ExportRefused: a step, the estimator or an option cannot be exported exactly.
    """
    if type(pipeline) is not Pipeline or len(pipeline.steps) != 2:
        raise ExportRefused(f"{describe(pipeline)}: expected a Pipeline of a ColumnTransformer and an estimator")
    transformer, estimator = pipeline[0], pipeline[1]
    if type(estimator) in TREE_ESTIMATORS:
        return _export_trees(transformer, estimator, largest)
    if type(estimator) in LINEAR_ESTIMATORS:
        return _export_linear(transformer, estimator)
    supported = ", ".join(known.__name__ for known in (*LINEAR_ESTIMATORS, *TREE_ESTIMATORS))
    raise ExportRefused(f"{describe(estimator)} is not supported; use one of {supported}")


def _export_trees(transformer: Any, estimator: Any, largest: int) -> Exported:
    trees = read_trees(estimator)
    if trees.nodes * BYTES_PER_NODE > largest:
        size = f"{trees.nodes} nodes, about {trees.nodes * BYTES_PER_NODE / 1e6:.0f} MB"
        raise ExportRefused(f"{describe(estimator)} has {size}; use fewer or shallower trees")
    graph = Graph()
    prepared = add_preprocessing(graph, transformer)
    margins = add_trees(graph, trees, prepared.tensor)
    return Exported(
        onnx=graph.serialize(margins, inputs=len(prepared.inputs), outputs=len(trees.targets)),
        inputs=prepared.inputs,
        categories=prepared.categories,
        link=trees.link,
        classes=_classes(estimator),
        exactness="bits",
    )


def _export_linear(transformer: Any, estimator: Any) -> Exported:
    linear = read_linear(estimator)
    graph = Graph()
    prepared = add_preprocessing(graph, transformer)
    margins = add_linear(graph, linear, prepared.tensor)
    return Exported(
        onnx=graph.serialize(margins, inputs=len(prepared.inputs), outputs=linear.targets),
        inputs=prepared.inputs,
        categories=prepared.categories,
        link=linear.link,
        classes=_classes(estimator),
        exactness="bound",
    )


def _classes(estimator: Any) -> tuple[str | float, ...]:
    return tuple(estimator.classes_.tolist()) if hasattr(estimator, "classes_") else ()
