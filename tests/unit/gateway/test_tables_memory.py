"""How much of a file is taken into memory at once."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.gateway.tables import Format, open_table
from shared.signature import Feature, Signature, Target
from tests.unit.gateway.tables import LIMITS


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_of_a_parquet_file_only_pages_are_read_however_large_its_row_groups_are() -> None:
    names = [f"c{i}" for i in range(4)]
    random = np.random.default_rng(0)
    body, rows = io.BytesIO(), 400_000
    pq.write_table(pa.table({name: random.normal(size=rows) for name in names}), body, row_group_size=rows)
    features = tuple(Feature(name=name, kind="numeric", nullable=False) for name in names)
    file = Counting(body.getvalue())
    blocks = open_table(Format.PARQUET, file, Signature(target=Target(name="y"), features=features), LIMITS).blocks()
    next(blocks)
    assert file.taken < len(body.getvalue()) / 2
    assert sum(len(block.x) for block in blocks) < rows
