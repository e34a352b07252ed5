"""The fast way through CSV: C reads what is plain, and names the records that are not.

Where it is not compiled, and for blocks that are mostly odd, the slower ways do all of it.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.kernel.library import CCell, CRecords, CTexts, KernelMissing, Library, load_library
from shared.signature import MAX_MAGNITUDE, NULL_TEXTS, UNKNOWN_CATEGORY, Feature, Signature

MOST_ODD = 256  # records of a block: more are quicker encoded as columns
_MOST_BYTES = 1 << 26  # of the rows of a block

_LEAST_POWER, _MOST_POWER = -300, 30  # as in cells.c
_LONG_POWER = -27  # powers of five below have more than 64 bits, and so their reciprocals need more
_HALF = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class PlainRows:
    x: NDArray[np.float64]
    """Shape (n, F); an odd row is all NaN."""
    odd: Sequence[tuple[int, int, int]]
    """Of each record that is for others to judge: its row, and where it begins and ends."""


class PlainReader:
    """Reads blocks of records in which nothing is quoted. Safe to share between threads."""

    def __init__(self, library: Library, names: Sequence[str], signature: Signature) -> None:
        self._read = library.read_records
        self._width, self._features = len(names), len(signature.features)
        targets = {feature.name: place for place, feature in enumerate(signature.features)}
        self._categories = [_categories(feature) for feature in signature.features]
        self._nulls = _texts(dict.fromkeys(NULL_TEXTS, 0.0))
        last = {name: place for place, name in enumerate(names)}  # as a mapping of a record has it
        cells = [
            self._cell(signature.features[targets[name]], targets[name])
            if name in targets and last[name] == place
            else CCell(-1)
            for place, name in enumerate(names)
        ]
        self._cells = (CCell * self._width)(*cells)
        self._records = CRecords(
            *(self._width, self._cells, self._features, ctypes.pointer(self._nulls.structure)),
            *(UNKNOWN_CATEGORY, MAX_MAGNITUDE, _powers().ctypes.data),
        )
        self._address = ctypes.addressof(self._records)

    def _cell(self, feature: Feature, target: int) -> CCell:
        categories = self._categories[target]
        known = ctypes.pointer(categories.structure) if categories else None
        return CCell(target, feature.nullable, feature.accepts_unknown, known)

    def read(self, block: bytes) -> PlainRows | None:
        """Read whole records; None if there are too many odd ones among them."""
        # As many as can be: a plain record has a comma between any two cells, and a line break. They are not counted,
        # which takes a third of the time; memory that is not written to is none.
        most = min(len(block) // self._width + 1 + MOST_ODD, _MOST_BYTES // (8 * self._features))
        x, odd = np.empty((most, self._features)), np.empty((MOST_ODD, 3), np.int64)
        count = ctypes.c_int64()
        rows = self._read(
            self._address, block, len(block), x.ctypes.data, most, odd.ctypes.data, MOST_ODD, ctypes.byref(count)
        )
        return None if rows < 0 else PlainRows(x[:rows], [tuple(place) for place in odd[: count.value].tolist()])


def plain_reader(names: Sequence[str], signature: Signature) -> PlainReader | None:
    """Return a reader of tables with such a header; None where nothing is compiled."""
    try:
        return PlainReader(load_library(), names, signature)
    except KernelMissing:
        return None


@dataclass(frozen=True, eq=False)
class _Texts:
    structure: CTexts
    kept: tuple[Any, ...]
    """What the structure points to."""


def _texts(codes: Mapping[str, float]) -> _Texts:
    pairs = sorted(((text.encode(), code) for text, code in codes.items()), key=lambda pair: (len(pair[0]), pair[0]))
    data = b"".join(text for text, _ in pairs)
    starts = np.cumsum([0, *(len(text) for text, _ in pairs)], dtype=np.int64)
    values = np.array([code for _, code in pairs], np.float64)
    return _Texts(CTexts(len(pairs), data, starts.ctypes.data, values.ctypes.data), (data, starts, values))


def _categories(feature: Feature) -> _Texts | None:
    """Return what C may recognise: without texts that mean null once white space around them is taken away."""
    if feature.kind == "numeric":
        return None
    return _texts({c: float(code) for code, c in enumerate(feature.categories) if c.strip() not in NULL_TEXTS})


@cache
def _powers() -> NDArray[np.uint64]:
    """Return 128 bits of each power of five, as cells.c needs them: shape (powers, 2), the higher half first."""
    return np.array([(p >> 64, p & _HALF) for p in map(_power, range(_LEAST_POWER, _MOST_POWER + 1))], np.uint64)


def _power(exponent: int) -> int:
    power: int = 5 ** abs(exponent)
    if exponent >= 0:
        return power << 128 >> power.bit_length()
    bits = (power - 1).bit_length()  # the least power of two that is no less
    reciprocal = (1 << (bits + 127 if exponent >= _LONG_POWER else 2 * bits + 128)) // power + 1
    return reciprocal >> max(0, reciprocal.bit_length() - 128)
