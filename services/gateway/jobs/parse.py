"""From a spooled table to a job's chunks, off the event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from services.gateway.jobs import sizing
from services.gateway.jobs.chunked import Chunked, ChunkTooLarge, check_rows, write_chunks
from services.gateway.jobs.fleet import Fleet
from services.gateway.jobs.refusals import as_problem
from services.gateway.jobs.spool import decoded, path_of
from services.gateway.settings import GatewaySettings
from services.gateway.tables import Block, EmptyTable, Format, Table, TableLimits, TableRefused, open_table
from shared.engine import Model

PARSERS = 2  # tables read at once; more would only take each other's processor and memory
_SMALLER = 8
_COUNTED = frozenset((Format.PARQUET, Format.ARROW, Format.ARROW_FILE))  # they know their rows; others guess


@dataclass(frozen=True)
class Spooled:
    """A table on disk."""

    file: BinaryIO
    kind: Format
    coding: str


@dataclass(frozen=True)
class Parsed:
    chunked: Chunked
    chunk_rows: int
    ignored: list[str]


class Parser:
    def __init__(self, settings: GatewaySettings, fleet: Fleet) -> None:
        self._settings = settings
        self._fleet = fleet
        self._turns = asyncio.Semaphore(PARSERS)
        self._limits = TableLimits(
            document=settings.gateway_max_document_bytes,
            record_batch=settings.gateway_max_record_batch_bytes,
            carried=settings.gateway_max_job_bytes,
        )
        # What can never fit into the backlog is refused as too large: coming again would not help.
        self._max_rows = min(settings.gateway_max_job_rows, settings.gateway_max_backlog_rows)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until few enough others are at work."""
        async with self._turns:
            yield

    async def parse(self, spooled: Spooled, passthrough: Sequence[str], model: Model, chunks: BinaryIO) -> Parsed:
        """Write the chunks of a table.

        Raises:
            Problem: it cannot be scored.
        """
        scorers = await self._fleet.scorers()
        try:
            return await asyncio.to_thread(self._parse, spooled, passthrough, model, chunks, scorers)
        except TableRefused as refused:
            raise as_problem(refused) from refused

    def _parse(
        self, spooled: Spooled, passthrough: Sequence[str], model: Model, chunks: BinaryIO, scorers: int
    ) -> Parsed:
        settings, rows = self._settings, self._settings.gateway_chunk_rows
        with decoded(spooled.file, spooled.coding, settings.gateway_max_job_bytes, settings.spool_dir) as plain:
            while True:
                with path_of(plain).open("rb") as file:  # pyarrow may close what it reads from
                    table = open_table(spooled.kind, file, model.signature, self._limits, passthrough)
                    if spooled.kind in _COUNTED and table.rows is not None:
                        check_rows(table.rows, self._max_rows)
                    try:
                        return self._written(table, file, model, chunks, chunk_rows=rows, scorers=scorers)
                    except ChunkTooLarge as large:  # later rows carry much more than the first ones did
                        if settings.gateway_chunk_rows or large.chunk_rows == 1:
                            raise
                        rows = max(1, large.chunk_rows // _SMALLER)
                chunks.seek(0)
                chunks.truncate()

    def _written(
        self, table: Table, file: BinaryIO, model: Model, chunks: BinaryIO, *, chunk_rows: int | None, scorers: int
    ) -> Parsed:
        blocks = table.blocks()
        first = next((block for block in blocks if len(block.x)), None)
        if first is None:
            raise EmptyTable
        chunk_rows = chunk_rows or self._measured(model, first, table, file, scorers)
        chunked = write_chunks(chain([first], blocks), chunks, chunk_rows=chunk_rows, max_rows=self._max_rows)
        return Parsed(chunked, chunk_rows, list(table.ignored_columns))

    def _measured(self, model: Model, first: Block, table: Table, file: BinaryIO, scorers: int) -> int:
        seconds = self._fleet.seconds_per_row = sizing.seconds_per_row(model, len(first.x))
        rows = sizing.estimated_rows(table, file, first)
        width = sizing.bytes_per_row(first)
        return sizing.chunk_rows(rows, bytes_per_row=width, seconds_per_row=seconds, scorers=scorers)
