"""The compiled kernel, loaded."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from shared.kernel.build import COMMAND, library_path


class KernelMissing(RuntimeError):
    """The kernel is not compiled here, or does not load; the message says what to do."""


class CStep(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_int64), ("a", ctypes.c_double), ("b", ctypes.c_double))


class CColumn(ctypes.Structure):
    _fields_ = (("source", ctypes.c_int64), ("steps", ctypes.POINTER(CStep)), ("step_count", ctypes.c_int64))


class CForest(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_int64),
        ("targets", ctypes.c_int64),
        ("columns", ctypes.POINTER(CColumn)),
        ("slots", ctypes.c_int64),
        ("narrow", ctypes.c_bool),
        ("nodes", ctypes.c_void_p),
        ("leaves", ctypes.c_void_p),
        ("trees", ctypes.c_void_p),
        ("first_tree", ctypes.c_void_p),
        ("divisor", ctypes.c_double),
    )


class CLinear(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_int64),
        ("targets", ctypes.c_int64),
        ("columns", ctypes.POINTER(CColumn)),
        ("column_count", ctypes.c_int64),
        ("weights", ctypes.c_void_p),
        ("intercept", ctypes.c_void_p),
    )


class CTexts(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_int64),
        ("bytes", ctypes.c_char_p),
        ("starts", ctypes.c_void_p),
        ("codes", ctypes.c_void_p),
    )


class CCell(ctypes.Structure):
    _fields_ = (
        ("target", ctypes.c_int64),
        ("nullable", ctypes.c_bool),
        ("unknown_allowed", ctypes.c_bool),
        ("categories", ctypes.POINTER(CTexts)),
    )


class CRecords(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int64),
        ("cells", ctypes.POINTER(CCell)),
        ("features", ctypes.c_int64),
        ("nulls", ctypes.POINTER(CTexts)),
        ("unknown", ctypes.c_double),
        ("most", ctypes.c_double),
        ("powers", ctypes.c_void_p),
    )


class CMember(ctypes.Structure):
    _fields_ = (
        ("nullable", ctypes.c_bool),
        ("unknown_allowed", ctypes.c_bool),
        ("categories", ctypes.POINTER(CTexts)),
    )


class CInstances(ctypes.Structure):
    _fields_ = (
        ("features", ctypes.c_int64),
        ("members", ctypes.POINTER(CMember)),
        ("names", ctypes.POINTER(CTexts)),
        ("required", ctypes.c_int64),
        ("unknown", ctypes.c_double),
        ("most", ctypes.c_double),
        ("powers", ctypes.c_void_p),
    )


Run = Callable[[Any, int, int, int], int]
"""Model, address of the rows, how many, and address of the result."""
Row = Callable[[Any, bytes], float]
"""Model, and the row as it lies in memory."""


@dataclass(frozen=True)
class Calls:
    """Of one kind of model."""

    run: Run
    run_briefly: Run
    """Keeps the interpreter's lock: letting it go and waiting for it again may take longer than a few rows."""
    row: Row


ReadRecords = Callable[[Any, bytes, int, int, int, int, int, Any], int]
"""As in cells.c: addresses of what is read, of the rows and of the odd ones, each before how many there may be."""

ReadInstances = Callable[[Any, bytes, int, int, int, int], int]
"""As in instances.c: addresses of what is read, of the rows, before how many there may be, and of room for notes."""


@dataclass(frozen=True)
class Library:
    forest: Calls
    linear: Calls
    read_records: ReadRecords
    read_instances: ReadInstances


@cache
def load_library() -> Library:
    """Load what `build` compiled. Raises KernelMissing."""
    path = library_path()
    if not path.exists():
        raise KernelMissing(f"the kernel is not compiled here, or not from the present sources ({COMMAND})")
    return open_library(path)


def open_library(path: Path) -> Library:
    """Raises KernelMissing."""
    try:
        free, held = ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
        forest, linear = (_calls(free, held, kind) for kind in ("forest", "linear"))
        return Library(forest, linear, _read_records(free), _read_instances(free))
    except (OSError, AttributeError) as error:
        raise KernelMissing(f"the kernel does not load ({error}): delete {path.name}, then {COMMAND}") from error


def _calls(free: ctypes.CDLL, held: ctypes.PyDLL, kind: str) -> Calls:
    model, address = ctypes.c_void_p, ctypes.c_void_p
    run, run_briefly = (getattr(library, f"{kind}_run") for library in (free, held))
    for each in (run, run_briefly):
        each.argtypes, each.restype = (model, address, ctypes.c_int64, address), ctypes.c_int
    row = getattr(held, f"{kind}_row")
    row.argtypes, row.restype = (model, address), ctypes.c_double
    return Calls(run, run_briefly, row)


def _read_records(free: ctypes.CDLL) -> ReadRecords:
    address, count = ctypes.c_void_p, ctypes.c_int64
    read: Any = free.read_records
    read.argtypes = (address, ctypes.c_char_p, count, address, count, address, count, ctypes.POINTER(count))
    read.restype = count
    return read  # type: ignore[no-any-return]


def _read_instances(free: ctypes.CDLL) -> ReadInstances:
    address, count = ctypes.c_void_p, ctypes.c_int64
    read: Any = free.read_instances
    read.argtypes = (address, ctypes.c_char_p, count, address, count, address)
    read.restype = count
    return read  # type: ignore[no-any-return]
