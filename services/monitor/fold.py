"""Events become counters: pure, and exact under any order and grouping, because merging is addition.

Counters of one version in one span of time: those of `shared.profile.summarise` (`n`, `<column>:<bin>`, …), and

- those of `shared.error_estimate` (`e:n`, `e:s1`, `e:s2`);
- `rows:<mode>`: predictions answered, modes single, batch and job; `failed:<mode>`: rows that ended in an error;
- `ns:<mode>`: engine time in nanoseconds; `t:<mode>:<bin>`: predictions per latency bin of `shared.latency`.
"""

from collections.abc import Callable, Mapping, Sized

import numpy as np
from numpy.typing import NDArray

from services.monitor.layout import TIMES
from services.monitor.windows import MINUTE, clamped
from shared import latency
from shared.events import ChunkScored, PredictionsLogged
from shared.profile import Profile, Summary, merge, summarise
from shared.signature import Signature

MAX_COUNTER = 1 << 53
"""Larger increments are no counts: they would overflow the 64 bits of a counter in Redis."""

_TIMES = frozenset(TIMES)
Estimate = Callable[[NDArray[np.float64]], Summary]
"""Sums up the estimated errors of encoded rows, in counters of `shared.error_estimate`."""

Minutes = dict[int, Summary]
"""Counters by minute (Unix time // 60)."""


class InvalidEvent(ValueError):
    """An event contradicts itself or the version it names. Trying again would not help."""


def check_columns(event: PredictionsLogged) -> None:
    """Raises InvalidEvent when the columns do not all have `rows` values, or a count is impossible."""
    columns: dict[str, Sized] = {
        "request_id": event.request_id,
        "index": event.index,
        "mode": event.mode,
        "time": event.time,
        "latency": event.latency,
        "prediction": event.prediction,
        **{f"features[{i}]": column for i, column in enumerate(event.features)},
    }
    if any(not 0 <= rows <= MAX_COUNTER for rows in event.failed.values()):
        raise InvalidEvent(f"{event.failed} rows failed")
    wrong = [name for name, values in columns.items() if len(values) != event.rows]
    if wrong or event.rows < 0:
        raise InvalidEvent(f"{event.rows} rows announced, but not in {', '.join(wrong) or 'any column'}")


def encoded_rows(event: PredictionsLogged, signature: Signature) -> NDArray[np.float64]:
    """Return the features, shape (n, F). Raises InvalidEvent when they are not those of the signature."""
    if event.rows == 0:
        return np.empty((0, len(signature.features)))
    if len(event.features) != len(signature.features):
        raise InvalidEvent(
            f"{len(event.features)} features, but version {event.model_version} has {len(signature.features)}"
        )
    return np.array(event.features, np.float64).T  # None becomes NaN


def fold_predictions(
    event: PredictionsLogged,
    x: NDArray[np.float64] | None,
    profile: Profile | None,
    now: float,
    keep_days: int,
    *,
    estimate: Estimate | None = None,
) -> Minutes:
    """Count an event's predictions by the minute in which they were answered, and failures by that of the event.

    Args:
        x: the encoded rows, shape (n, F); None, as the profile, when the version cannot be read: then only rows and
            latencies are counted.
        estimate: of their errors; None where the version has no error model.
    """
    minutes = np.floor(np.array(clamped(event.time, now, keep_days)) / MINUTE).astype(np.int64)
    predictions = np.array(event.prediction, np.float64)
    seconds, modes = np.array(event.latency, np.float64), np.array(event.mode)
    folded: Minutes = {}
    for minute in np.unique(minutes).tolist():
        here = minutes == minute
        parts = [_timed(mode, seconds[here & (modes == mode)]) for mode in ("single", "batch")]
        if profile is not None and x is not None:
            parts.append(summarise(profile, x[here], predictions[here]))
        if estimate is not None and x is not None:
            parts.append(estimate(x[here]))
        folded[minute] = merge(parts)
    if event.failed:
        (time,) = clamped([event.occurred_at.timestamp()], now, keep_days)
        failed = {f"failed:{mode}": rows for mode, rows in event.failed.items()}
        folded[int(time // MINUTE)] = merge([folded.get(int(time // MINUTE), {}), failed])
    return folded


def fold_chunk(event: ChunkScored, profile: Profile | None, now: float, keep_days: int) -> Minutes:
    """Count a chunk of a job in the minute in which it was committed; its rows share its engine time evenly.

    Raises:
        InvalidEvent: a count is impossible.
    """
    scored = event.rows - event.failed
    if not 0 <= scored <= event.rows or any(abs(count) > MAX_COUNTER for count in event.counts.values()):
        raise InvalidEvent(f"{event.rows} rows with {event.failed} failed, or a count out of range")
    parts = [_timed("job", np.full(scored, event.seconds / event.rows if event.rows else 0.0))]
    if event.failed:
        parts.append({"failed:job": event.failed})
    if profile is not None:
        parts.append({name: count for name, count in event.counts.items() if name not in _TIMES})
    (time,) = clamped([event.occurred_at.timestamp()], now, keep_days)
    return {int(time // MINUTE): merge(parts)}


def by_span(minutes: Minutes, span: int) -> Mapping[int, Summary]:
    """Add the minutes up to longer spans (Unix time // `span`)."""
    grouped: dict[int, list[Summary]] = {}
    for minute, counters in minutes.items():
        grouped.setdefault(minute * MINUTE // span, []).append(counters)
    return {number: merge(summaries) for number, summaries in grouped.items()}


def _timed(mode: str, seconds: NDArray[np.float64]) -> Summary:
    if len(seconds) == 0:
        return {}
    usable = np.clip(np.nan_to_num(seconds), 0.0, 1e6)  # a broken clock must not break the sum
    counts = np.bincount(latency.bins(usable))
    return {
        f"rows:{mode}": len(usable),
        f"ns:{mode}": int(np.rint(usable * 1e9).sum()),
        **{f"t:{mode}:{i}": count for i, count in enumerate(counts.tolist()) if count},
    }
