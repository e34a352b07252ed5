"""`OneHotEncoder` and `OrdinalEncoder` on codes: -1 is an unknown category, NaN a null."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.trainer.export.graph import Graph
from services.trainer.export.steps import Block, is_null, refuse

ABSENT = -1
"""The position of what is not among the categories; no category's code equals it."""


@dataclass(frozen=True)
class _Vocabulary:
    """The categories of one column, null left out."""

    values: tuple[str, ...]
    has_null: bool
    """Null was seen in training, where it is a category of its own: always the last."""

    @property
    def size(self) -> int:
        return len(self.values) + self.has_null

    def position(self, text: str) -> int:
        return self.values.index(text) if text in self.values else ABSENT


def encode_one_hot(graph: Graph, block: Block, encoder: Any) -> Block:
    """One column per category, 1 where the code is its own. Unknown, and a null that training never saw, is all 0."""
    _check(block, encoder, handle_unknown="ignore")
    if encoder.drop is not None:
        raise refuse(block, encoder, "has the option drop; leave it out")
    vocabularies = _vocabularies(block, encoder)
    codes = _replace_null(graph, block.tensor, [float(_null_code(block, i, v)) for i, v in enumerate(vocabularies)])
    source = np.repeat(np.arange(len(vocabularies)), [v.size for v in vocabularies])
    wide = graph.add("Gather", codes, graph.constant(source), axis=1)
    code = np.concatenate([np.arange(v.size, dtype=np.float64) for v in vocabularies])
    hot = graph.cast_double(graph.add("Equal", wide, graph.constant(code)))
    return _encoded(block, vocabularies, hot, source)


def encode_ordinal(graph: Graph, block: Block, encoder: Any) -> Block:
    """The code itself. Unknown is `unknown_value`, and so is a null that training never saw; other nulls stay null."""
    _check(block, encoder, handle_unknown="use_encoded_value")
    vocabularies = _vocabularies(block, encoder)
    unknown = float(encoder.unknown_value)
    nulls = [_ordinal_null(block, i, v, encoder) for i, v in enumerate(vocabularies)]
    is_unknown = graph.add("Less", block.tensor, graph.constant(np.array([0.0])))
    known = graph.add("Where", is_unknown, graph.constant(np.array([unknown])), block.tensor)
    # Asked of the codes as they came: `unknown_value` may be NaN, and is no null.
    null = graph.add("IsNaN", block.tensor)
    ordinal = graph.add("Where", null, graph.constant(np.array(nulls)), known)
    return _encoded(block, vocabularies, ordinal, np.arange(len(vocabularies)))


def _check(block: Block, encoder: Any, *, handle_unknown: str) -> None:
    if encoder.handle_unknown != handle_unknown:
        raise refuse(block, encoder, f"must have handle_unknown={handle_unknown!r}, so that no category is an error")
    for option in ("min_frequency", "max_categories"):
        if getattr(encoder, option) is not None:
            raise refuse(block, encoder, f"has the option {option}; leave it out")
    if encoder.dtype is not np.float64:
        raise refuse(block, encoder, "must have dtype=numpy.float64")


def _vocabularies(block: Block, encoder: Any) -> list[_Vocabulary]:
    return [_vocabulary(block, encoder, values.tolist()) for values in encoder.categories_]


def _encoded(block: Block, vocabularies: list[_Vocabulary], tensor: str, source: NDArray[np.intp]) -> Block:
    """Publish the categories with the new matrix: they define the codes of the raw one."""
    return Block(
        block.label,
        tensor,
        tuple(block.names[index] for index in source),
        categories={name: v.values for name, v in zip(block.names, vocabularies, strict=True)},
    )


def _vocabulary(block: Block, encoder: Any, values: list[Any]) -> _Vocabulary:
    texts = tuple(value for value in values if not is_null(value))
    has_null = len(texts) < len(values)
    if len(values) - len(texts) > 1:
        raise refuse(block, encoder, "saw both None and NaN; let pandas hold text as str, which knows one null")
    if has_null and block.fills is not None:
        raise refuse(block, encoder, "saw None behind SimpleImputer, which fills NaN; let pandas hold text as str")
    if not texts:
        raise refuse(block, encoder, "saw a column with no value at all; drop that column")
    if not all(isinstance(text, str) for text in texts):
        raise refuse(block, encoder, "has categories that are not text; convert the column to str")
    if list(texts) != values[: len(texts)]:
        raise refuse(block, encoder, "has null before another category; put it last")
    return _Vocabulary(texts, has_null)


def _null_code(block: Block, index: int, vocabulary: _Vocabulary) -> int:
    """The code that a null counts as: its fill's, if it was filled, else that of the category null."""
    if block.fills is not None:
        return vocabulary.position(block.fills[index])
    return len(vocabulary.values) if vocabulary.has_null else ABSENT


def _ordinal_null(block: Block, index: int, vocabulary: _Vocabulary, encoder: Any) -> float:
    code = _null_code(block, index, vocabulary)
    if code == ABSENT:
        return float(encoder.unknown_value)
    return float(encoder.encoded_missing_value) if block.fills is None else float(code)


def _replace_null(graph: Graph, tensor: str, replacement: list[float]) -> str:
    return graph.add("Where", graph.add("IsNaN", tensor), graph.constant(np.array(replacement)), tensor)
