"""The same without a queue: one process reads a CSV file with Arrow, scores, and writes a CSV file.

`python -m benchmarks.jobs.one_process GRAPH CSV RESULTS` prints seconds, imports and loading left out. Nothing is
checked, nothing is synced, a row that cannot be read ends it.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from benchmarks.jobs.bare import PIECE, served_by


def _score(graph: Path, source: Path, target: Path) -> float:
    engine = served_by(graph)
    started = time.perf_counter()
    table = pacsv.read_csv(source)
    x = np.column_stack([column.to_numpy() for column in table.columns]).astype(np.float64, copy=False)
    values = np.concatenate([engine.run(x[start : start + PIECE])[:, 0] for start in range(0, len(x), PIECE)])
    results = pa.table({"index": np.arange(len(x)), "prediction": values})
    pacsv.write_csv(results, target)
    return time.perf_counter() - started


if __name__ == "__main__":
    print(_score(*map(Path, sys.argv[1:4])))
