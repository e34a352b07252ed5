"""How many rows a chunk gets."""

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from services.gateway.jobs.sizing import bytes_per_row, chunk_rows, estimated_rows, seconds_per_row
from services.gateway.jobs.spool import spool_file
from services.gateway.tables import Block, Format, TableLimits, open_table
from shared.signature import Feature, Signature, Target

MICROSECOND = 1e-6
SIGNATURE = Signature(
    target=Target(name="y"),
    features=tuple(Feature(name=name, kind="numeric", nullable=True, example=1.0) for name in ("count", "length")),
)


@pytest.mark.parametrize(
    ("rows", "microseconds", "scorers", "expected"),
    [
        (1_000_000, 10, 2, 20_000),  # 200 ms
        (1_000_000, 0.5, 2, 100_000),  # more would be too many to lose
        (1_000_000, 100, 2, 2_000),
        (1_000_000, 5_000, 2, 40),
        (8_000, 100, 4, 500),  # four chunks for each scorer
        (8_000, 50, 4, 800),  # 40 ms: less would be round trips only
        (10, 1, 4, 40_000),
        (40_000, 10, 0, 10_000),  # there will be a scorer
        (1_000, 1_000_000, 4, 1),
    ],
)
def test_a_chunk_is_200_ms_of_work_and_all_scorers_get_some(
    rows: int, microseconds: float, scorers: int, expected: int
) -> None:
    cost = microseconds * MICROSECOND
    assert chunk_rows(rows, bytes_per_row=100, seconds_per_row=cost, scorers=scorers) == expected


def test_a_chunk_fits_into_memory() -> None:
    wide = 1 << 20
    assert chunk_rows(1_000_000, bytes_per_row=wide, seconds_per_row=MICROSECOND, scorers=1) == 16
    assert chunk_rows(1_000_000, bytes_per_row=wide * 100, seconds_per_row=MICROSECOND, scorers=1) == 1


class Slow:
    golden = np.full((5, 3), 7.0)

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        assert (x == 7).all(), "a row that nobody has vouched for"
        time.sleep(len(x) * 20 * MICROSECOND)
        return x[:, 0]


@pytest.mark.parametrize("rows", [1, 10_000])
def test_the_cost_of_a_row_is_measured_on_golden_rows(rows: int) -> None:
    assert seconds_per_row(Slow(), rows) >= 20 * MICROSECOND


def test_what_passes_through_counts() -> None:
    x = np.zeros((1000, 3))
    carried = pa.record_batch([pa.array(["x" * 100] * 1000)], names=["note"])
    assert bytes_per_row(Block(x, ())) == 24
    assert bytes_per_row(Block(x, (), carried)) > 24 + 200


def bodies(rows: int) -> list[tuple[Format, bytes]]:
    table = pa.table({"count": [float(i) for i in range(rows)], "length": [1.5] * rows})
    parquet, arrow = io.BytesIO(), pa.BufferOutputStream()
    pq.write_table(table, parquet)
    with pa.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows // 2 + 1)
    lines = [json.dumps(row).encode() for row in table.to_pylist()]
    return [
        (Format.PARQUET, parquet.getvalue()),
        (Format.ARROW, arrow.getvalue().to_pybytes()),
        (Format.LINES, b"\n".join(lines)),
        (Format.JSON, b'{"instances":[' + b",".join(lines) + b"]}"),
        (Format.CSV, b"count,length\n" + b"\n".join(b"%d,1.5" % i for i in range(rows))),
    ]


@pytest.mark.parametrize("rows", [30, 120_000])
def test_the_rows_of_a_table_are_guessed_from_its_first_block(tmp_path: Path, rows: int) -> None:
    limits = TableLimits(document=1 << 25, record_batch=1 << 25)
    for kind, body in bodies(rows):
        with spool_file(tmp_path) as file:
            file.write(body)
            file.seek(0)
            table: Any = open_table(kind, file, SIGNATURE, limits)
            first = next(table.blocks())
            assert estimated_rows(table, file, first) == pytest.approx(rows, rel=0.2), kind
