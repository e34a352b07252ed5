"""What C needs to read numbers and texts: see plain.h."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.kernel.library import CTexts

_LEAST_POWER, _MOST_POWER = -300, 30  # as in plain.h
_LONG_POWER = -27  # powers of five below have more than 64 bits, and so their reciprocals need more
_HALF = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class Texts:
    structure: CTexts
    kept: tuple[Any, ...]
    """What the structure points to."""


def pack_texts(codes: Mapping[str, float]) -> Texts:
    """Lay texts out so that C finds the code of one. Raises UnicodeEncodeError for what UTF-8 cannot say."""
    pairs = sorted(((text.encode(), code) for text, code in codes.items()), key=lambda pair: (len(pair[0]), pair[0]))
    data = b"".join(text for text, _ in pairs)
    starts = np.cumsum([0, *(len(text) for text, _ in pairs)], dtype=np.int64)
    values = np.array([code for _, code in pairs], np.float64)
    return Texts(CTexts(len(pairs), data, starts.ctypes.data, values.ctypes.data), (data, starts, values))


@cache
def powers_of_five() -> NDArray[np.uint64]:
    """Return 128 bits of each, as `nearest` in plain.h needs them: shape (powers, 2), the higher half first."""
    return np.array([(p >> 64, p & _HALF) for p in map(_power, range(_LEAST_POWER, _MOST_POWER + 1))], np.uint64)


def _power(exponent: int) -> int:
    power: int = 5 ** abs(exponent)
    if exponent >= 0:
        return power << 128 >> power.bit_length()
    bits = (power - 1).bit_length()  # the least power of two that is no less
    reciprocal = (1 << (bits + 127 if exponent >= _LONG_POWER else 2 * bits + 128)) // power + 1
    return reciprocal >> max(0, reciprocal.bit_length() - 128)
