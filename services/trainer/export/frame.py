"""Tables as the graph's matrix and back: the only place where the trainer turns columns into float64."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from services.trainer.export.exported import ExportRefused
from shared.signature import UNKNOWN_CATEGORY

LARGEST_EXACT_INTEGER = 2**53  # above it a float64 skips integers


class RowLayout(Protocol):
    """The columns of a matrix; `Exported` is one."""

    @property
    def inputs(self) -> Sequence[str]: ...

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]: ...


def encode_frame(frame: pd.DataFrame, layout: RowLayout) -> NDArray[np.float64]:
    """Return the rows of `frame` as the graph reads them, shape (n, F), C order.

    Raises:
        ExportRefused: a column is missing, or holds what float64 and the codes cannot say exactly.
    """
    missing = [name for name in layout.inputs if name not in frame.columns]
    if missing:
        raise ExportRefused(f"the table lacks {', '.join(missing)}")
    matrix = np.empty((len(frame), len(layout.inputs)))
    for index, name in enumerate(layout.inputs):
        categories = layout.categories.get(name)
        matrix[:, index] = _numbers(frame[name]) if categories is None else _codes(frame[name], categories)
    return matrix


def decode_rows(matrix: NDArray[np.float64], layout: RowLayout, like: pd.DataFrame) -> pd.DataFrame:
    """Return a table that encodes to `matrix`; an unknown category becomes a text that no category equals.

    Args:
        like: whose kind of null (None or NaN) a category's null becomes; scikit-learn tells them apart.
    """
    columns: dict[str, Any] = {}
    for index, name in enumerate(layout.inputs):
        categories, codes = layout.categories.get(name), matrix[:, index]
        columns[name] = codes if categories is None else _texts(codes, categories, _null_of(like[name]))
    return pd.DataFrame(columns)


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    dtype = column.dtype
    if isinstance(dtype, pd.SparseDtype) or not pd.api.types.is_numeric_dtype(dtype):
        raise ExportRefused(f"column {column.name!r} is {dtype}, not numbers; convert it to float64")
    if str(dtype).lower() in ("float16", "float32"):
        raise ExportRefused(f"column {column.name!r} is {dtype}: scikit-learn would round it; use float64")
    if pd.api.types.is_complex_dtype(dtype):
        raise ExportRefused(f"column {column.name!r} is {dtype}; use float64")
    if pd.api.types.is_integer_dtype(dtype) and _beyond_float64(column):
        raise ExportRefused(f"column {column.name!r} holds integers beyond 2**53, which float64 cannot tell apart")
    values: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise ExportRefused(f"column {column.name!r} holds infinite numbers; make them null")
    return values


def _beyond_float64(column: pd.Series) -> bool:
    known = column.dropna()
    return bool(len(known)) and max(-int(known.min()), int(known.max())) > LARGEST_EXACT_INTEGER


def _codes(column: pd.Series, categories: tuple[str, ...]) -> NDArray[np.float64]:
    null = column.isna().to_numpy()
    texts = column.astype(object)
    if not all(isinstance(value, str) for value in texts[~null]):
        raise ExportRefused(f"column {column.name!r} is categorical but holds more than text; convert it to str")
    codes = pd.Index(categories, dtype=object).get_indexer(pd.Index(texts, dtype=object)).astype(np.float64)
    codes[null] = np.nan
    return codes  # get_indexer says -1 for what it does not find, as the signature does


def _texts(codes: NDArray[np.float64], categories: tuple[str, ...], null: object) -> pd.Series:
    unknown = "?" * (1 + max(map(len, categories)))  # longer than every category, so none of them
    values = np.array([*categories, null, unknown], dtype=object)  # the code of unknown, -1, is the last
    positions = np.where(np.isnan(codes), len(categories), codes).astype(np.intp)
    return pd.Series(values[positions], dtype=object)  # not str, which would turn None into NaN


def _null_of(column: pd.Series) -> object:
    nulls = column[column.isna()].tolist()
    return nulls[0] if nulls else np.nan


assert UNKNOWN_CATEGORY == -1  # the codes above rely on it
