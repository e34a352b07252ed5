"""Compares margins."""

from dataclasses import dataclass

import numpy as np

from services.trainer.parity.reference import Matrix


class ParityFailed(ValueError):
    """The graph does not give scikit-learn's numbers; the message shows a row."""


@dataclass(frozen=True)
class Difference:
    rows: int
    absolute: float
    """The largest."""
    ratio: float | None
    """The largest share of the bound that a row used up."""


def compare(name: str, rows: Matrix, theirs: Matrix, ours: Matrix, bound: Matrix | None) -> Difference:
    """Measure how far `ours` is from `theirs`, both of shape (n, T).

    Args:
        name: what the rows are, for the message.
        rows: as the graph read them, for the message.
        bound: the most that each may differ; None if they must be equal.

    Raises:
        ParityFailed: a margin differs by more, or is not a number.
    """
    difference = np.abs(ours - theirs)
    allowed = np.zeros_like(difference) if bound is None else bound
    failed = np.flatnonzero(~(difference <= allowed).all(axis=1))  # NaN compares false
    if len(failed):
        row = failed[0]
        raise ParityFailed(
            f"{len(failed)} of {len(rows)} ({name}) differ from scikit-learn, first"
            f" {rows[row].tolist()}: the graph gives {ours[row].tolist()}, scikit-learn {theirs[row].tolist()},"
            f" allowed is a difference of {allowed[row].tolist()}"
        )
    ratio = None if bound is None else float((difference / np.maximum(bound, np.finfo(float).tiny)).max())
    return Difference(len(rows), float(difference.max()), ratio)
