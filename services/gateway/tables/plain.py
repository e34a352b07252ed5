"""The fast way through CSV: C reads what is plain, and names the records that are not.

Where it is not compiled, and for blocks that are mostly odd, the slower ways do all of it.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.kernel.library import CCell, CRecords, KernelMissing, Library, load_library
from shared.kernel.reading import Texts, pack_texts, powers_of_five
from shared.signature import MAX_MAGNITUDE, NULL_TEXTS, UNKNOWN_CATEGORY, Feature, Signature

MOST_ODD = 256  # records of a block: more are quicker encoded as columns
_MOST_BYTES = 1 << 26  # of the rows of a block


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
        self._nulls = pack_texts(dict.fromkeys(NULL_TEXTS, 0.0))
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
            *(UNKNOWN_CATEGORY, MAX_MAGNITUDE, powers_of_five().ctypes.data),
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


def _categories(feature: Feature) -> Texts | None:
    """Return what C may recognise: without texts that mean null once white space around them is taken away."""
    if feature.kind == "numeric":
        return None
    return pack_texts({c: float(code) for code, c in enumerate(feature.categories) if c.strip() not in NULL_TEXTS})
