"""Parquet files, Arrow streams and Arrow files."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from services.gateway.tables.arrow_messages import check_messages
from services.gateway.tables.block import Block, NotATable
from services.gateway.tables.columns import ColumnEncoder, check_type, normalised, select
from services.gateway.tables.header import check_names
from shared.signature import Signature

_ROWS = 16_384  # encoded at once
_BUFFER_BYTES = 1 << 16  # per column; without, pyarrow reads the column of a whole row group
_ARROW_FILE = b"ARROW1\0\0"  # a file is this, then a stream, then an index of it
_BROKEN = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError)


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
    """A Parquet file, read in pages: how large its row groups are does not matter."""

    def __init__(self, file: BinaryIO, signature: Signature, *, by_rows: bool = False) -> None:
        try:
            self._file = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES)
            schema = self._file.schema_arrow
            names = schema.names
        except _BROKEN as error:
            raise NotATable(f"this is no Parquet file: {error}") from None
        super().__init__(schema, signature, by_rows=by_rows)
        self._names = select(names, signature)

    def blocks(self) -> Iterator[Block]:
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS, columns=self._names, use_threads=False):
                yield self._block(batch)
        except _BROKEN as error:
            raise NotATable(f"the Parquet file is broken: {error}") from None


class ArrowTable(_Columnar):
    """An Arrow IPC stream or file. Nothing in it is trusted: offsets and texts are checked before they are used."""

    def __init__(self, file: BinaryIO, signature: Signature, *, max_batch_bytes: int, by_rows: bool = False) -> None:
        start = len(_ARROW_FILE) if file.read(len(_ARROW_FILE)) == _ARROW_FILE else 0
        check_messages(file, start, max_batch_bytes)
        try:
            self._stream = pa.ipc.open_stream(file)
            names = self._stream.schema.names
        except _BROKEN as error:
            raise NotATable(f"this is no Arrow stream: {error}") from None
        super().__init__(self._stream.schema, signature, by_rows=by_rows)
        self._names = select(names, signature)

    def blocks(self) -> Iterator[Block]:
        try:
            for batch in self._stream:
                needed = batch.select(self._names)
                needed.validate(full=True)
                for start in range(0, batch.num_rows, _ROWS):
                    yield self._block(needed.slice(start, _ROWS))
        except _BROKEN as error:
            raise NotATable(f"the Arrow stream is broken: {error}") from None
