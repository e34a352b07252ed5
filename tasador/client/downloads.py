"""Reading what a job has produced, through broken connections."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx

from tasador.client.base import given
from tasador.client.errors import Unavailable, Unreachable
from tasador.client.formats import CSV, NDJSON
from tasador.client.records import CsvRecords, LineRecords, Records
from tasador.client.transport import Transport
from tasador.client.waiting import OUTAGE

_REST = {CSV: "text/csv;header=absent"}
"""What to ask for when the beginning is there."""
_BREAKS = 3
"""Answers in a row that may break off, the last that brought something included: more are the gateway's fault."""
_PAUSE = 0.5


class Patience:
    """Decides whether to ask again after a transfer broke: while there is progress, or nobody answers for a while.

    Args:
        clock, sleep: of `time`.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self.progressed()

    def progressed(self) -> None:
        self._at = self._clock()
        self._breaks = 0

    def broke(self, error: Exception, *, answered: bool, pause: float | None = None) -> None:
        """Wait a moment, or as long as was asked for. Raises `error` when it makes no sense to go on."""
        self._breaks += answered
        if self._breaks > _BREAKS or self._clock() - self._at > OUTAGE:
            raise error
        self._sleep(pause or _PAUSE)


class Download:
    """The records of a job at one path, in one format."""

    def __init__(self, http: Transport, path: str, media_type: str, patience: Patience | None = None) -> None:
        self._http = http
        self._path = path
        self._media_type = media_type
        self._patience = patience or Patience()
        self.next = 0
        """Position of the record after the last one that `records` yielded."""

    @property
    def resumable(self) -> bool:
        """Whether the rest may be put behind the beginning. In CSV records are counted, and errors have gaps."""
        return self._media_type == NDJSON or (self._media_type == CSV and self._path.endswith("/results"))

    def records(
        self, cursor: int = 0, limit: int | None = None, *, header: bool = True, patient: bool = True
    ) -> Iterator[bytes]:
        """Yield whole records from a position on, where it is `resumable`; a transfer that breaks goes on where it did.

        Args:
            limit: so many records at most, where they follow each other without a gap.
            header: with the names of the columns before the first, where the format has them.
            patient: otherwise one that breaks is an error.
        """
        end = None if limit is None else cursor + limit
        accept = self._media_type if header else _REST.get(self._media_type, self._media_type)
        while end is None or cursor < end:
            records: Records | None = None
            try:
                with self._open(accept, cursor=cursor or None, limit=end and end - cursor) as response:
                    records = self._records(cursor, header=accept == CSV)
                    for block in response.iter_bytes():
                        if whole := records.feed(block):
                            accept = _REST.get(accept, accept)
                            self._patience.progressed()
                            self.next = records.next
                            yield whole
                return
            except (Unreachable, Unavailable) as error:
                if not patient:
                    raise
                self._patience.broke(error, answered=records is not None)
                cursor = cursor if records is None else max(cursor, records.next)

    def blocks(self) -> Iterator[bytes]:
        """Yield the document as it comes, and break where it breaks."""
        with self._open(self._media_type) as response:
            yield from response.iter_bytes()

    def whole(self, start: Callable[[], Callable[[bytes], object]]) -> None:
        """Hand the document to a writer; where the transfer breaks, start another one over."""
        while True:
            answered = False
            write = start()
            try:
                for block in self.blocks():
                    answered = True
                    write(block)
                return
            except (Unreachable, Unavailable) as error:
                self._patience.broke(error, answered=answered)

    def _open(self, accept: str, **parameters: int | None) -> AbstractContextManager[httpx.Response]:
        return self._http.stream(self._path, accept, params=given(**parameters))

    def _records(self, cursor: int, *, header: bool) -> Records:
        return LineRecords(cursor) if self._media_type == NDJSON else CsvRecords(cursor, header=header)
