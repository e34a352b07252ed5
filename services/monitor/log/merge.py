"""Many tables of the log become one file: sorted by request id, each row once. Pure."""

from collections.abc import Iterator, Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from services.monitor.log.rows import row_group_rows, write_parquet

ROW = ["request_id", "index", "time"]
"""What makes two rows one that was logged twice. The time belongs to it: a caller may send one `X-Request-Id` with
several requests, and their predictions are not the same."""
LABELLED_ROW = [*ROW, "labelled_at", "entry"]
"""The same of labelled rows: a correction is one more row, and which entry brought it must not be forgotten."""


def merged(tables: Sequence[pa.Table], row: Sequence[str] = ROW) -> bytes:
    """Return a file of the rows of tables of one schema. Beside the tables, a row group at a time is held once more."""
    table = pa.concat_tables(tables).combine_chunks()  # to take rows from hundreds of pieces takes twice as long
    return write_parquet(table.schema, _sorted_once(table, row))


def within(table: pa.Table, low: str, high: str | None) -> pa.Table:
    """Return the rows whose request id is at least `low` and less than `high`; None is without an end."""
    ids = table["request_id"]
    chosen = pc.greater_equal(ids, low)
    return table.filter(chosen if high is None else pc.and_(chosen, pc.less(ids, high)))


def _sorted_once(table: pa.Table, row: Sequence[str]) -> Iterator[pa.Table]:
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in row])
    before = table.select(row)[:0]  # the last row of the group before
    size = row_group_rows(table.schema)
    for start in range(0, len(order), size):
        group = table.take(order[start : start + size])
        keys = group.select(row)
        new = _unlike_the_one_before(pa.concat_tables([before, keys]))
        first = pa.array([True] * (len(group) - len(new)), pa.bool_())
        yield group.filter(pa.concat_arrays([first, new]))
        before = keys[-1:]


def _unlike_the_one_before(keys: pa.Table) -> pa.Array:
    """Tell of each row but the first whether it differs from the one before it."""
    same = reduce(pc.and_, (pc.equal(keys[name][1:], keys[name][:-1]) for name in keys.column_names))
    return pc.invert(same).combine_chunks()
