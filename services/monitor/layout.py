"""Where each counter of a version lies in the strings of 64-bit integers that Redis keeps its buckets in. Pure.

A bucket of 600 counters takes 10 KB so, a fifth of what a hash takes; a window is a sum of arrays.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared import error_estimate, latency
from shared.profile import Profile, Summary, counters

MODES: Final = ("single", "batch", "job")

TIMES: Final = (
    *(f"{what}:{mode}" for mode in MODES for what in ("rows", "failed", "ns")),
    *(f"t:{mode}:{i}" for mode in MODES for i in range(latency.BINS)),
)
"""What is counted here, from how many there were and how long they took."""

HEAD: Final = (*TIMES, *error_estimate.COUNTERS)
"""What can be counted without knowing the version's profile."""

Packed = tuple[tuple[int, int], ...]
"""Position and increment of each counter."""


class Layout:
    """The places of a version's counters. It follows from the profile alone, so it never changes for a version.

    Args:
        profile: None where the version cannot be read; then there are only places for `HEAD`.
    """

    def __init__(self, profile: Profile | None) -> None:
        of_profile = counters(profile) if profile else []
        self.names = (*HEAD, *of_profile)
        self._places = {name: place for place, name in enumerate(self.names)}
        self._features = next((self._places[name] for name in of_profile if name[0].isdigit()), len(self.names))

    @property
    def rows(self) -> int:
        """The place of `n`, which counts the rows that were summarised."""
        return len(HEAD)

    def pack(self, summary: Mapping[str, int], *, features: bool = True) -> Packed:
        """Return increments by place. A counter that has no place is left out: whatever comes, a bucket is bounded.

        Args:
            features: whether to keep the counters of features.
        """
        end = len(self.names) if features else self._features
        found = ((self._places.get(name, end), count) for name, count in summary.items())
        return tuple(sorted((place, count) for place, count in found if place < end and count))

    def unpack(self, values: NDArray[np.int64]) -> Summary:
        """Return the counters that are not zero, of an array as long as `names` or shorter."""
        used = np.flatnonzero(values[: len(self.names)])
        return {self.names[place]: count for place, count in zip(used.tolist(), values[used].tolist(), strict=True)}


def total(strings: list[bytes | None]) -> NDArray[np.int64]:
    """Add up buckets as Redis returns them: integers with the highest byte first; None is one that is not there."""
    arrays = [np.frombuffer(string, ">i8") for string in strings if string]
    added = np.zeros(max(map(len, arrays), default=0), np.int64)
    for array in arrays:
        added[: len(array)] += array
    return added


@lru_cache(maxsize=32)
def layout_of(profile: Profile | None) -> Layout:
    return Layout(profile)
