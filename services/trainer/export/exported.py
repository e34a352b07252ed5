"""What an export gives, and how it says no."""

from dataclasses import dataclass
from typing import Literal

Exactness = Literal["bits", "bound"]
Margin = Literal["identity", "expit", "softmax"]


class ExportRefused(ValueError):
    """The pipeline or its data cannot be exported exactly; the message names what, and what to use instead."""


@dataclass(frozen=True)
class Exported:
    """A pipeline as a graph, and what a caller must know to feed it and to read its answer."""

    onnx: bytes
    """Input `x` float64 [N, F], output `s` float64 [N, T]."""
    inputs: tuple[str, ...]
    """The raw columns that the pipeline reads, in the order of `x`."""
    categories: dict[str, tuple[str, ...]]
    """Per categorical column its values; a value's code is its position. Null is not among them."""
    link: Margin
    """What turns `s` into a prediction."""
    classes: tuple[str | float, ...]
    """Of a classifier, in the order of its probabilities; empty for a regression."""
    exactness: Exactness
    """Equal to scikit-learn bit for bit, or within the bound that rounding allows a dot product."""
