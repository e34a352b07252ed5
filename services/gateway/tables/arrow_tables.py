"""Parquet files and Arrow streams."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from services.gateway.tables.block import Block, NotATable, TableTooLarge
from services.gateway.tables.columns import ColumnEncoder, check_type, normalised, select
from services.gateway.tables.header import check_names
from shared.signature import Signature

_ROWS = 16_384  # encoded at once
_BROKEN = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, pa.ArrowTypeError, OSError, EOFError)


class _Columnar:
    """What both formats share: a schema that is checked at once, and typed batches."""

    def __init__(self, schema: Any, signature: Signature, *, by_rows: bool) -> None:
        self._signature = signature
        self.ignored_columns = check_names(schema.names, signature)
        for feature in signature.features:
            if feature.name in schema.names:
                check_type(feature, schema.field(feature.name).type)
        encoder = ColumnEncoder(signature, text=False)
        self._encode = encoder.encode_by_rows if by_rows else encoder.encode

    def _block(self, batch: Any) -> Block:
        batch = normalised(batch, self._signature)
        return self._encode(batch)


class ParquetTable(_Columnar):
    """Args:
    max_group_bytes: a row group whose needed columns are larger, decoded, is refused: it is read as a whole.
    """

    def __init__(self, file: BinaryIO, signature: Signature, *, max_group_bytes: int, by_rows: bool = False) -> None:
        try:
            self._file = pq.ParquetFile(file)
            schema = self._file.schema_arrow
        except _BROKEN as error:
            raise NotATable(f"this is no Parquet file: {error}") from None
        super().__init__(schema, signature, by_rows=by_rows)
        self._names = select(schema.names, signature)
        _check_groups(self._file.metadata, frozenset(self._names), max_group_bytes)

    def blocks(self) -> Iterator[Block]:
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS, columns=self._names, use_threads=False):
                yield self._block(batch)
        except _BROKEN as error:
            raise NotATable(f"the Parquet file is broken: {error}") from None


class ArrowTable(_Columnar):
    """An Arrow IPC stream. Nothing in it is trusted: offsets and texts are checked before they are used."""

    def __init__(self, file: BinaryIO, signature: Signature, *, by_rows: bool = False) -> None:
        try:
            self._stream = pa.ipc.open_stream(file)
        except _BROKEN as error:
            raise NotATable(f"this is no Arrow stream: {error}") from None
        super().__init__(self._stream.schema, signature, by_rows=by_rows)
        self._names = select(self._stream.schema.names, signature)

    def blocks(self) -> Iterator[Block]:
        try:
            for batch in self._stream:
                needed = batch.select(self._names)
                needed.validate(full=True)
                for start in range(0, batch.num_rows, _ROWS):
                    yield self._block(needed.slice(start, _ROWS))
        except _BROKEN as error:
            raise NotATable(f"the Arrow stream is broken: {error}") from None


def _check_groups(metadata: Any, names: frozenset[str], limit: int) -> None:
    for position in range(metadata.num_row_groups):
        group = metadata.row_group(position)
        columns = [group.column(i) for i in range(group.num_columns)]
        size = sum(c.total_uncompressed_size for c in columns if c.path_in_schema in names)
        if size > limit:
            raise TableTooLarge(f"row group {position} needs {size} bytes, more than {limit}; write smaller row groups")
