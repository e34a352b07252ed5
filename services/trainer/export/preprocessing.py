"""The `ColumnTransformer`: from the raw matrix to the matrix that the estimator sees.

Each fitted step becomes nodes, in the pipeline's order, all in float64:

- `SimpleImputer`: fill(x) where x is null; its indicator columns, 0 or 1, follow the values.
- `StandardScaler`: subtract the mean, then divide by the scale, two roundings as in scikit-learn.
- `OneHotEncoder`, `OrdinalEncoder`: see `services.trainer.export.encoders`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from services.trainer.export.encoders import encode_one_hot, encode_ordinal
from services.trainer.export.exported import ExportRefused
from services.trainer.export.graph import INPUT, Graph
from services.trainer.export.steps import Block, describe, is_null, refuse


@dataclass(frozen=True)
class Preprocessed:
    """The raw columns, and the tensor that the estimator reads."""

    inputs: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    tensor: str


def add_preprocessing(graph: Graph, transformer: Any) -> Preprocessed:
    """Append the nodes of a fitted `ColumnTransformer`.

    Raises:
        ExportRefused: a step or an option is not supported.
    """
    _check(transformer)
    used = _used_columns(transformer)
    inputs = tuple(sorted({name for _, _, names in used for name in names}, key=_position(transformer)))
    blocks = []
    for label, steps, names in used:
        block = Block(label, _gather(graph, names, inputs), names)
        for step in steps:
            block = _add_step(graph, block, step)
        blocks.append(block)
        _check_dense(block, steps)
    return Preprocessed(inputs, _merged_categories(blocks), graph.join([block.tensor for block in blocks]))


def column_names(transformer: Any, columns: Any) -> tuple[str, ...]:
    """Return the names behind any of the ways in which a `ColumnTransformer` lets columns be chosen."""
    names = pd.Series(transformer.feature_names_in_)
    if isinstance(columns, slice) or not all(isinstance(column, str) for column in columns):
        return tuple(names.iloc[columns])
    return tuple(columns)


def _check(transformer: Any) -> None:
    if type(transformer) is not ColumnTransformer:
        raise ExportRefused(f"{describe(transformer)}: the first step must be a ColumnTransformer")
    if not hasattr(transformer, "feature_names_in_"):
        raise ExportRefused("the ColumnTransformer was fitted without column names; fit it on a pandas DataFrame")
    if transformer.transformer_weights is not None:
        raise ExportRefused("ColumnTransformer(transformer_weights=…) is not supported; leave it out")
    if transformer.sparse_output_:
        raise ExportRefused("the ColumnTransformer gives a sparse matrix; use OneHotEncoder(sparse_output=False)")


def _used_columns(transformer: Any) -> list[tuple[str, list[Any], tuple[str, ...]]]:
    """Label, fitted steps and column names of each transformer that is not dropped and not empty."""
    used = []
    for label, fitted, columns in transformer.transformers_:
        if isinstance(fitted, str) and fitted == "drop":
            continue
        names = column_names(transformer, columns)
        steps = [step for _, step in fitted.steps] if type(fitted) is Pipeline else [fitted]
        if names:
            used.append((label, steps, names))
    return used


def _position(transformer: Any) -> Any:
    return {name: index for index, name in enumerate(transformer.feature_names_in_)}.__getitem__


def _gather(graph: Graph, names: Sequence[str], inputs: Sequence[str]) -> str:
    if tuple(names) == tuple(inputs):
        return INPUT
    return graph.add("Gather", INPUT, graph.constant(np.array([inputs.index(n) for n in names])), axis=1)


def _add_step(graph: Graph, block: Block, step: Any) -> Block:
    # By exact type: a subclass may compute something else.
    add = _STEPS.get(type(step))
    if add:
        return add(graph, block, step)
    if step == "passthrough" or (type(step) is FunctionTransformer and step.func is None):
        return block
    supported = ", ".join(known.__name__ for known in _STEPS)
    raise refuse(block, step, f"is not supported; use {supported}")


def _check_dense(block: Block, steps: Sequence[Any]) -> None:
    """A sparse matrix is computed with in other ways, such as scaling by the reciprocal."""
    for step in steps[:-1]:
        if type(step) is OneHotEncoder and step.sparse_output:
            raise refuse(block, step, "gives a sparse matrix to another step; use sparse_output=False")


def _impute(graph: Graph, block: Block, imputer: Any) -> Block:
    if not is_null(imputer.missing_values):
        raise refuse(block, imputer, "must have missing_values=numpy.nan")
    if len(imputer.statistics_) != len(block.names) or any(is_null(fill) for fill in imputer.statistics_):
        raise refuse(block, imputer, "saw a column with no value at all; drop that column")
    if isinstance(imputer.statistics_[0], str):
        if imputer.add_indicator:
            raise refuse(block, imputer, "has add_indicator=True on text; leave it out, null can be a category")
        # An encoder follows, and knows the fill's code. A second imputer finds nothing left to fill.
        return replace(block, fills=block.fills or tuple(imputer.statistics_))
    null = graph.add("IsNaN", block.tensor)
    filled = graph.add("Where", null, graph.constant(imputer.statistics_.astype(np.float64)), block.tensor)
    if not imputer.add_indicator or not len(imputer.indicator_.features_):
        return replace(block, tensor=filled)
    flagged = imputer.indicator_.features_
    flags = graph.cast_double(graph.add("Gather", null, graph.constant(flagged.astype(np.int64)), axis=1))
    names = (*block.names, *(block.names[index] for index in flagged))
    return replace(block, tensor=graph.join([filled, flags]), names=names)


def _scale(graph: Graph, block: Block, scaler: Any) -> Block:
    tensor = block.tensor
    if scaler.with_mean:
        tensor = graph.add("Sub", tensor, graph.constant(scaler.mean_))
    if scaler.with_std:
        tensor = graph.add("Div", tensor, graph.constant(scaler.scale_))
    return replace(block, tensor=tensor)


_STEPS: dict[type, Callable[[Graph, Block, Any], Block]] = {
    SimpleImputer: _impute,
    StandardScaler: _scale,
    OneHotEncoder: encode_one_hot,
    OrdinalEncoder: encode_ordinal,
}


def _merged_categories(blocks: list[Block]) -> dict[str, tuple[str, ...]]:
    """A column is one value of the row: it cannot be a number for one transformer and a code for another."""
    meanings: dict[str, tuple[str, ...]] = {}
    for block in blocks:
        for name in block.names:
            meaning = block.categories.get(name, ())
            if meanings.setdefault(name, meaning) != meaning:
                raise ExportRefused(f"column {name!r} is read in two ways, again by {block.label!r}; read it once")
    return {name: values for name, values in meanings.items() if values}
