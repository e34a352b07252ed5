"""The fast way through `{"instances": [row, …]}`: C reads a body in which everything is plain, all of it or nothing.

What it does not take goes to `batch`, which decides, and can say what is wrong. Where it does take a body, `batch`
would find the same rows, and no errors.
"""

import ctypes
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from services.gateway.decode import names_are_plain
from shared.engine import Model
from shared.kernel.library import CInstances, CMember, KernelMissing, Library, load_library
from shared.kernel.reading import Texts, pack_texts, powers_of_five
from shared.signature import MAX_MAGNITUDE, UNKNOWN_CATEGORY, Feature, Signature


class InstanceReader:
    """Built once per signature. Safe to share between threads."""

    def __init__(self, library: Library, signature: Signature) -> None:
        """Raises ValueError: a name is not plain, or a category nothing that UTF-8 can say."""
        if not names_are_plain(signature):
            raise ValueError("C compares names with what stands in a body, which is something else for some of these")
        features = signature.features
        required = [feature.name for feature in features if not feature.nullable]
        self._read = library.read_instances
        self._features = len(features)
        self._least_bytes = len("{},") + sum(len(f'"{name}":0') for name in required)
        names = pack_texts({name: float(place) for place, name in enumerate(signature.names)})
        categories = [_categories(feature) for feature in features]
        members = (CMember * len(features))(*map(_member, features, categories))
        self._instances = CInstances(
            *(len(features), members, ctypes.pointer(names.structure), len(required)),
            *(UNKNOWN_CATEGORY, MAX_MAGNITUDE, powers_of_five().ctypes.data),
        )
        self._address = ctypes.addressof(self._instances)
        self._kept: tuple[Any, ...] = (names, categories, members)

    def read(self, body: bytes, limit: int) -> NDArray[np.float64] | None:
        """Return the rows, shape (n, F); None if the body needs a closer look, or has more than `limit` rows."""
        most = min(limit, len(body) // self._least_bytes)
        x, notes = np.empty((most, self._features)), np.empty((2, self._features), np.int64)
        rows = self._read(self._address, body, len(body), x.ctypes.data, most, notes.ctypes.data)
        return None if rows < 0 else x[:rows]


_readers: WeakKeyDictionary[Model, InstanceReader | None] = WeakKeyDictionary()


def instance_reader(model: Model) -> InstanceReader | None:
    """Return what reads rows for a model, the same as long as that lives; None where C cannot, or is not compiled."""
    if model not in _readers:
        try:
            _readers[model] = InstanceReader(load_library(), model.signature)
        except (KernelMissing, ValueError):
            _readers[model] = None
    return _readers[model]


def _categories(feature: Feature) -> Texts | None:
    if feature.kind == "numeric":
        return None
    return pack_texts({category: float(code) for code, category in enumerate(feature.categories)})


def _member(feature: Feature, categories: Texts | None) -> CMember:
    known = ctypes.pointer(categories.structure) if categories else None
    return CMember(feature.nullable, feature.accepts_unknown, known)
