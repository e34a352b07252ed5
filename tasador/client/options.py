"""What may be said of a job beside its rows. Pure."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

Priority = Literal["low", "normal", "high"]
Deadline = datetime | timedelta | str
"""A moment with its zone, a span from the job's acceptance, or either as text ("2h", "2030-01-31T18:00:00Z")."""


def job_options(
    version: str | None,
    priority: str | None,
    deadline: Deadline | None,
    passthrough: Sequence[str],
    webhook: str | None,
) -> dict[str, str]:
    """Return the query of a submission.

    Raises:
        ValueError: the deadline has no zone.
    """
    found = {
        "version": version,
        "priority": priority,
        "deadline": _deadline(deadline),
        "passthrough": _names(passthrough),
        "webhook": webhook,
    }
    return {name: value for name, value in found.items() if value}


def _deadline(deadline: Deadline | None) -> str | None:
    if isinstance(deadline, timedelta):
        return f"{deadline.total_seconds():.3f}s"
    if isinstance(deadline, datetime):
        if deadline.tzinfo is None:
            raise ValueError("a deadline needs its zone, as in datetime.now(UTC) + …")
        return deadline.isoformat()
    return deadline


def _names(names: Sequence[str]) -> str:
    """Join as in CSV: a name may hold a comma."""
    if isinstance(names, str):
        return names
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()
