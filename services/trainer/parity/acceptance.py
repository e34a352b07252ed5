"""Which columns of a fitted pipeline take a null or an unknown category: the pipeline itself is asked."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from services.trainer.export import Exported, decode_rows, encode_frame
from services.trainer.parity.reference import Matrix, Reference
from shared.signature import UNKNOWN_CATEGORY


@dataclass(frozen=True)
class Acceptance:
    """Column names."""

    nulls: frozenset[str]
    unknowns: frozenset[str]


def ask(pipeline: Any, exported: Exported, frame: pd.DataFrame) -> Acceptance:
    """Try a null, and an unknown category, in each column; scikit-learn raises at what it refuses.

    Args:
        frame: rows that the pipeline accepts; one without nulls is made of them.
    """
    reference = Reference(pipeline, exported)
    plain = _plain_row(encode_frame(frame, exported), exported)

    def takes(value: float, names: Iterable[str]) -> bool:
        row = plain.copy()
        row[:, [exported.inputs.index(name) for name in names]] = value
        try:
            reference.margins(reference.transform(decode_rows(row, exported, frame)))
        except ValueError:
            return False
        return True

    def taking(value: float, names: Iterable[str]) -> frozenset[str]:
        names = frozenset(names)
        # One question answers for all columns, as long as the answer is yes.
        return names if takes(value, names) else frozenset(name for name in names if takes(value, [name]))

    return Acceptance(taking(np.nan, exported.inputs), taking(UNKNOWN_CATEGORY, exported.categories))


def _plain_row(data: Matrix, exported: Exported) -> Matrix:
    """One row without nulls: of each number the first that is known, of each category the first."""
    row = np.zeros((1, data.shape[1]))
    for index, name in enumerate(exported.inputs):
        known = data[~np.isnan(data[:, index]), index]
        if name not in exported.categories and len(known):
            row[0, index] = known[0]
    return row
