"""Parquet files, Arrow streams and Arrow files."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from services.gateway.tables.arrow_messages import check_messages
from services.gateway.tables.block import Block, NotATable, TableTooLarge, listable
from services.gateway.tables.carried import carried_type, check_carried_type, of_batch
from services.gateway.tables.columns import ColumnEncoder, check_type, normalised
from services.gateway.tables.header import check_names
from shared.signature import Signature

_ROWS = 16_384  # encoded at once
_CARRYING_ROWS = 2048  # encoded at once where texts of any length pass through
_BUFFER_BYTES = 1 << 16  # per column; without, and with pre_buffer, pyarrow reads whole row groups
_ARROW_FILE = b"ARROW1\0\0"  # a file is this, then a stream, then an index of it
_BROKEN = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError)


class _Columnar:
    """What both formats share: a schema that is checked at once, and typed batches."""

    def __init__(
        self,
        schema: Any,
        rows: int,
        signature: Signature,
        passthrough: Sequence[str],
        max_carried: int,
        *,
        by_rows: bool,
    ) -> None:
        self.rows = rows
        self._signature = signature
        self._passthrough = passthrough
        self._carried_left = self._max_carried = max_carried
        self.ignored_columns = check_names(schema.names, signature, passthrough)
        known = frozenset((*signature.names, *passthrough))
        self._rows = _CARRYING_ROWS if passthrough else _ROWS
        self._names = [name for name in schema.names if name in known]
        for feature in signature.features:
            if feature.name in schema.names:
                check_type(feature, schema.field(feature.name).type)
        for name in passthrough:
            check_carried_type(name, schema.field(name).type)
        encoder = ColumnEncoder(signature, text=False)
        self._encode = encoder.encode_by_rows if by_rows else encoder.encode

    def _blocks(self, batch: Any) -> Iterator[Block]:
        for start in range(0, batch.num_rows, self._rows):
            yield self._block(batch.slice(start, self._rows))

    def _block(self, batch: Any) -> Block:
        block = self._encode(normalised(batch, self._signature))
        carried = of_batch(self._passthrough, batch)
        self._carried_left -= 0 if carried is None else carried.nbytes
        if self._carried_left < 0:
            raise TableTooLarge(f"columns that pass through may take up to {self._max_carried:,} bytes in all")
        return replace(block, carried=carried)


class ParquetTable(_Columnar):
    """A Parquet file, read in pages: how large its row groups are matters to columns of text alone."""

    def __init__(
        self,
        file: BinaryIO,
        signature: Signature,
        passthrough: Sequence[str] = (),
        max_bytes: int = 1 << 30,
        max_carried: int = 1 << 32,
        *,
        by_rows: bool = False,
    ) -> None:
        try:
            self._file = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            schema = self._file.schema_arrow
        except _BROKEN as error:
            raise NotATable(f"this is no Parquet file: {error}") from None
        super().__init__(schema, self._file.metadata.num_rows, signature, passthrough, max_carried, by_rows=by_rows)
        texts = [name for name in self._names if carried_type(schema.field(name).type) == pa.string()]
        _check_texts(self._file.metadata, texts, max_bytes)
        # As dictionaries, so that a long text that many rows share is in memory once.
        self._file = pq.ParquetFile(
            file, metadata=self._file.metadata, read_dictionary=texts, buffer_size=_BUFFER_BYTES, pre_buffer=False
        )

    def blocks(self) -> Iterator[Block]:
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS, columns=self._names, use_threads=False):
                yield from self._blocks(batch)
        except _BROKEN as error:
            raise NotATable(f"the Parquet file is broken: {error}") from None


def _check_texts(metadata: Any, names: Sequence[str], limit: int) -> None:
    """Check that a column of text takes no more than `limit` bytes in any row group: pages of it may share a batch."""
    places = {metadata.schema.column(place).path: place for place in range(metadata.num_columns)}
    for group in range(metadata.num_row_groups):
        for name in names:
            needed = metadata.row_group(group).column(places[name]).total_uncompressed_size
            if needed > limit:
                detail = f"column {listable(name)!r} takes {needed:,} bytes in one row group, more than {limit:,}"
                raise TableTooLarge(f"{detail}; write smaller row groups")


class ArrowTable(_Columnar):
    """An Arrow IPC stream or file. Nothing in it is trusted: offsets and texts are checked before they are used."""

    def __init__(
        self,
        file: BinaryIO,
        signature: Signature,
        passthrough: Sequence[str] = (),
        max_bytes: int = 1 << 30,
        max_carried: int = 1 << 32,
        *,
        by_rows: bool = False,
    ) -> None:
        start = len(_ARROW_FILE) if file.read(len(_ARROW_FILE)) == _ARROW_FILE else 0
        rows = check_messages(file, start, max_bytes)
        try:
            self._stream = pa.ipc.open_stream(file)
            schema = self._stream.schema
        except _BROKEN as error:
            raise NotATable(f"this is no Arrow stream: {error}") from None
        super().__init__(schema, rows, signature, passthrough, max_carried, by_rows=by_rows)

    def blocks(self) -> Iterator[Block]:
        try:
            for batch in self._stream:
                needed = batch.select(self._names)
                needed.validate(full=True)
                yield from self._blocks(needed)
        except _BROKEN as error:
            raise NotATable(f"the Arrow stream is broken: {error}") from None
