"""Runs a kernel that watches its own memory: `python -m tests.sanitized LIBRARY DIRECTORY [overrun]`.

The directory has graphs (`*.onnx`) and rows for them (`*.npy`), records of four cells (`*.csv`), and bodies (`*.json`).
With `overrun` it does what must be noticed.
"""

import sys
from pathlib import Path

import numpy as np

from services.gateway.instances import InstanceReader
from services.gateway.tables.plain import PlainReader
from shared.kernel.compiled import CompiledEngine
from shared.kernel.errors import GraphDamaged, GraphUnsupported
from shared.kernel.library import Library, open_library
from shared.kernel.plan import Forest, read_plan
from shared.signature import Feature, Signature, Target

SIGNATURE = Signature(
    target=Target(name="y"),
    features=(
        Feature(name="absent", kind="numeric", nullable=True),
        Feature(name="size", kind="numeric", nullable=True),
        Feature(name="kind", kind="categorical", nullable=True, categories=("a", "bb", "ü", "", "c" * 40)),
        Feature(name="zone", kind="categorical", nullable=False, categories=("x", "y"), accepts_unknown=False),
    ),
)


def main() -> None:
    library, refused, ran = open_library(Path(sys.argv[1])), 0, 0
    for path in sorted(Path(sys.argv[2]).glob("*.onnx")):
        try:
            plan = read_plan(path.read_bytes())
            engine = CompiledEngine(plan, library)
        except (GraphDamaged, GraphUnsupported):
            refused += 1
            continue
        # Widths may have been altered: whatever the graph says, it gets. Copied, so that nothing lies behind the rows.
        rows = np.resize(np.load(path.with_suffix(".npy")), (40, plan.inputs)).copy()
        if "overrun" in sys.argv:
            overrun(engine, library, rows, isinstance(plan.estimator, Forest))
        for count in (1, 15, 40):
            engine.run(rows[:count].copy())
        engine.run_row(rows[0].tolist())
        ran += 1
    reader, plain, odd = PlainReader(library, ["size", "note", "kind", "zone"], SIGNATURE), 0, 0
    for path in sorted(Path(sys.argv[2]).glob("*.csv")):
        if (found := reader.read(path.read_bytes())) is not None:
            odd += len(found.odd)
            plain += len(found.x) - len(found.odd)
    bodies = [path.read_bytes() for path in sorted(Path(sys.argv[2]).glob("*.json"))]
    instances = InstanceReader(library, SIGNATURE)
    taken = sum(instances.read(body, 4) is not None for body in bodies)
    print(f"ran {ran}, refused {refused}, plain {plain}, odd {odd}, taken {taken}")  # noqa: T201 - the test reads it


def overrun(engine: CompiledEngine, library: Library, rows: np.ndarray, is_forest: bool) -> None:
    calls, out = library.forest if is_forest else library.linear, np.empty(100_000)
    calls.run(engine._address, rows.ctypes.data, len(rows) + 1, out.ctypes.data)


if __name__ == "__main__":
    main()
