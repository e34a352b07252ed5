"""Twenty cases, and what Evidently makes of them: `python -m benchmarks.drift.cases` writes the file that tests read.

Run it again when `requirements/rivals/evidently.txt` changes. The cases are drawn anew from their numbers each time.
"""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.drift.evidently import Evidently
from shared.settings import ROOT
from tests.unit.monitor.populations import a_case

FIGURES = ROOT / "tests" / "unit" / "monitor" / "evidently.json"

NUMERIC = (13, 15, 23, 28, 41, 47, 55, 62, 66, 82, 108, 118, 141, 170)
"""Numbers of `a_case`: each has at least a hundred rows on either side."""
CATEGORICAL = range(6)

Sides = tuple[NDArray[Any], NDArray[Any]]


def a_categorical_case(number: int) -> Sides:
    """Draw names of categories, each of which comes on either side."""
    rng = np.random.default_rng(number)
    categories = np.array(list("abcdefgh")[: 2 + number])
    shares = rng.dirichlet(np.full(len(categories), 5.0))
    moved = rng.dirichlet(100 * shares + 1)
    return rng.choice(categories, 2_000, p=shares), rng.choice(categories, 3_000, p=moved)


def cases() -> dict[str, Sides]:
    numeric = {f"number {n}": (a_case(n).reference, a_case(n).live) for n in NUMERIC}
    return numeric | {f"category {n}": a_categorical_case(n) for n in CATEGORICAL}


def main() -> None:
    evidently = Evidently.installed(ROOT / ".tasador" / "bench")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "cases.npz"
        arrays = {f"{n}/{side}": rows for n, both in cases().items() for side, rows in zip(SIDES, both, strict=True)}
        np.savez(path, allow_pickle=False, **arrays)
        figures = evidently.run("evidently_figures.py", path)
    document = {"evidently": evidently.version, "figures": figures}
    FIGURES.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


SIDES = ("reference", "live")


if __name__ == "__main__":
    main()
