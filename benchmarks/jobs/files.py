"""Tables of any size on disk, written in blocks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.example import rows

BLOCK = 100_000


def blocks(count: int) -> Iterator[pd.DataFrame]:
    """Yield so many rows of the example with noise; the same ones every time."""
    for start in range(0, count, BLOCK):
        yield rows(min(BLOCK, count - start), seed=start)


def write_csv(path: Path, count: int) -> Path:
    with path.open("w", newline="") as file:
        for number, block in enumerate(blocks(count)):
            block.to_csv(file, index=False, header=number == 0)
    return path


def write_parquet(path: Path, count: int) -> Path:
    writer: pq.ParquetWriter | None = None
    for block in blocks(count):
        table = pa.Table.from_pandas(block, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path


def matrix(count: int) -> NDArray[np.float64]:
    """Return the same rows as the engine takes them."""
    return np.concatenate([np.ascontiguousarray(block.to_numpy()) for block in blocks(count)])
