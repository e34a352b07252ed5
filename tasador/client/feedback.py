"""The client's method for what really happened to rows that were predicted."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tasador.client.answers import FeedbackAnswer
from tasador.client.base import Connected, blocks
from tasador.client.downloads import Patience
from tasador.client.errors import Problem, TooLarge, Unavailable, Unreachable
from tasador.client.formats import CSV, NDJSON, UnknownFormat, content_coding, media_type
from tasador.client.pieces import Line, Piece, lines_of_blocks, lines_of_rows, pieces


class Feedback(Connected):
    def feedback(
        self,
        source: str | os.PathLike[str] | IO[bytes] | Iterable[Mapping[str, Any]],
        *,
        content_type: str | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> int:
        """Tell actual values: a CSV or JSON lines file by its path, an open one with its `content_type`, or rows.

        A row has `request_id`, `index` (0 if it is left out) and `actual`, or `job_id`, `row` and `actual`. Many are
        several requests, each of which is taken as a whole or not at all; once the first is accepted, an outage of a
        minute is borne. Sending values again does no harm, and the last that is sent for a row counts.

        Args:
            on_progress: hears how many were accepted so far.

        Returns:
            How many were accepted; those that one request said twice count once.

        Raises:
            Invalid, Malformed: with the place in `source` of everything that is wrong in one request; those before it
                were accepted.
            Unavailable: nothing more can be kept now.
        """
        accepted = 0
        patience = Patience()
        with _opened(source, content_type) as (kind, lines):
            for whole in pieces(lines, header=kind == CSV):
                waiting = [whole]
                while waiting:
                    piece = waiting.pop()
                    try:
                        accepted += self._send(piece, kind)
                    except TooLarge:
                        if len(piece.values) < 2:
                            raise
                        waiting += reversed(piece.halves())
                    except (Unreachable, Unavailable) as error:
                        if not accepted:
                            raise
                        patience.broke(error, answered=False, pause=getattr(error, "retry_after", None))
                        waiting.append(piece)
                    else:
                        patience.progressed()
                        if on_progress:
                            on_progress(accepted)
        return accepted

    def _send(self, piece: Piece, kind: str) -> int:
        typed = {"content-type": kind}
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
