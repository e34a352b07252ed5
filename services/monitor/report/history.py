"""The steps of a timeline, and what was counted in them. Pure."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from services.monitor.layout import MODES
from services.monitor.report.data import ModeHistory
from services.monitor.stats import figures
from services.monitor.windows import DAY, MINUTES_KEPT, Window, last_seconds
from shared.profile import Summary

STEPS: Final = 48


def timeline(asked: float | None, now: float, oldest: float | None) -> Window:
    """Return the time that charts go back to.

    Args:
        asked: seconds; None: a day, or what is kept by the minute where that is all there is.
        oldest: when the first prediction was made (Unix time), as far as that is known.
    """
    if asked is not None:
        return last_seconds(asked, now)
    young = oldest is not None and now - oldest < MINUTES_KEPT
    return last_seconds(MINUTES_KEPT if young else DAY, now)


def steps(window: Window, most: int = STEPS) -> list[Window]:
    """Return a window in pieces of whole buckets, the last of which may be shorter and is still filling."""
    size = math.ceil(len(window.numbers) / most)
    firsts = range(window.first, window.last + 1, size)
    return [
        Window(window.span, first, last, min(window.now, float((last + 1) * window.span)))
        for first in firsts
        for last in [min(first + size - 1, window.last)]
    ]


def starts(pieces: Sequence[Window]) -> tuple[datetime, ...]:
    return tuple(datetime.fromtimestamp(piece.start, UTC) for piece in pieces)


def modes(pieces: Sequence[Window], counted: Sequence[Summary]) -> tuple[ModeHistory, ...]:
    """Return what each mode did; those that did nothing are left out.

    Args:
        counted: of all versions together, in each piece.
    """
    found = [figures([(summary, None)], piece.seconds) for piece, summary in zip(pieces, counted, strict=True)]
    histories = [
        ModeHistory(
            mode=mode,
            rows=sum(each.by_mode[mode] for each in found),
            throughput=tuple(each.by_mode[mode] / piece.seconds for each, piece in zip(found, pieces, strict=True)),
            latency=tuple(each.latency_by_mode[mode] for each in found),
        )
        for mode in MODES
    ]
    return tuple(history for history in histories if history.rows)
