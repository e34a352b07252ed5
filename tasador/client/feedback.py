"""The client's method for what really happened to rows that were predicted."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tasador.client.answers import FeedbackAnswer
from tasador.client.base import Connected, blocks
from tasador.client.downloads import Patience
from tasador.client.errors import Problem, TasadorError, TooLarge, Unavailable, Unreachable
from tasador.client.formats import CSV, NDJSON, UnknownFormat, content_coding, media_type
from tasador.client.pieces import Line, Piece, lines_of_blocks, lines_of_rows, pieces
from tasador.client.transport import Transport


class Feedback(Connected):
    def feedback(
        self,
        source: str | os.PathLike[str] | IO[bytes] | Iterable[Mapping[str, Any]],
        *,
        content_type: str | None = None,
        on_progress: Callable[[int], None] | None = None,
        on_outage: Callable[[TasadorError], None] | None = None,
    ) -> int:
        """Tell actual values: a CSV or JSON lines file by its path, an open one with its `content_type`, or rows.

        A row has `request_id`, `index` (0 if it is left out) and `actual`, or `job_id`, `row` and `actual`. Many are
        several requests, each of which is taken as a whole or not at all; once the first is accepted, an outage of a
        minute is borne. Sending values again does no harm, and the last that is sent for a row counts.

        Args:
            on_progress: hears how many were accepted so far.
            on_outage: hears why it waits.

        Returns:
            How many were accepted; those that one request said twice count once.

        Raises:
            Invalid, Malformed: with the place in `source` of everything that is wrong in one request; those before it
                were accepted.
            Unavailable: nothing more can be kept now.
        """
        with _opened(source, content_type) as (kind, lines):
            sending = _Sending(self._http, kind, on_outage)
            for piece in pieces(lines, header=kind == CSV):
                for accepted in sending.send(piece):
                    if on_progress:
                        on_progress(accepted)
        return sending.accepted


class _Sending:
    """Pieces on their way to a gateway. Until one is accepted, nothing is tried again."""

    def __init__(self, http: Transport, media_type: str, on_outage: Callable[[TasadorError], None] | None) -> None:
        self.accepted = 0
        self._http = http
        self._media_type = media_type
        self._on_outage = on_outage
        self._patience = Patience()

    def send(self, piece: Piece) -> Iterator[int]:
        """Send a piece, in as many requests as it takes; yield after each how many were accepted so far."""
        try:
            self.accepted += self._through_outages(piece)
        except TooLarge:
            if len(piece.values) < 2:
                raise
            for half in piece.halves():
                yield from self.send(half)
        else:
            yield self.accepted

    def _through_outages(self, piece: Piece) -> int:
        self._patience.progressed()
        away = False
        while True:
            try:
                return self._post(piece)
            except (Unreachable, Unavailable) as error:
                if not self.accepted:
                    raise
                if self._on_outage and not away:
                    self._on_outage(error)
                away = True
                self._patience.broke(error, answered=False, pause=getattr(error, "retry_after", None))

    def _post(self, piece: Piece) -> int:
        typed = {"content-type": self._media_type}
        try:
            return self._http.read(FeedbackAnswer, "POST", "/feedback", content=piece.body, headers=typed).accepted
        except Problem as problem:
            raise piece.located(problem) from None


@contextmanager
def _opened(
    source: str | os.PathLike[str] | IO[bytes] | Iterable[Mapping[str, Any]], content_type: str | None
) -> Iterator[tuple[str, Iterator[Line]]]:
    """Yield the media type of what will be sent, and its lines."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        with path.open("rb") as file:  # first: whether it is there is said before what it is called
            yield _lined(content_type or _media_type(path)), lines_of_blocks(blocks(file))
    elif callable(getattr(source, "read", None)):
        if content_type is None:
            raise ValueError("an open file does not say its format: pass content_type")
        yield _lined(content_type), lines_of_blocks(blocks(source))
    else:
        rows: Any = source
        yield NDJSON, lines_of_rows(rows)


def _media_type(path: Path) -> str:
    if content_coding(path):
        raise UnknownFormat(path, f"feedback is not read compressed: decompress {path}")
    return media_type(path)


def _lined(kind: str) -> str:
    if kind not in (CSV, NDJSON):
        raise UnknownFormat(kind, f"feedback is read from CSV and JSON lines (.csv, .ndjson, .jsonl), not from {kind}")
    return kind
