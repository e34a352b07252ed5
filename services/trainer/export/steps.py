"""What the parts of the preprocessing share: the matrix between two steps, and the words of a refusal."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.trainer.export.exported import ExportRefused


@dataclass(frozen=True)
class Block:
    """The matrix between two steps of one transformer of the `ColumnTransformer`."""

    label: str
    """Of the transformer, for messages."""
    tensor: str
    names: tuple[str, ...]
    """The raw column behind each column of the matrix."""
    fills: tuple[str, ...] | None = None
    """Texts that replace nulls, per column, until an encoder turns text into numbers."""
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of the raw columns that an encoder has read."""


def is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def describe(step: object) -> str:
    return repr(step) if isinstance(step, str) else type(step).__name__


def refuse(block: Block, step: object, what: str) -> ExportRefused:
    columns = ", ".join(dict.fromkeys(block.names))
    return ExportRefused(f"{describe(step)} of {block.label!r} ({columns}) {what}")
