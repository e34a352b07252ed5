"""Which of the figures of drift a report shows, and which one columns are ordered and coloured by. Pure."""

from collections.abc import Mapping
from typing import Final

from services.monitor.drift import ColumnDrift, Limits
from services.monitor.report.data import State
from services.monitor.report.words import NOTHING, number, percent
from shared.profile import ColumnProfile

NAME: Final = "effect"
"""Of what columns are ordered by, as a reader knows it."""


def state_of(drift: ColumnDrift) -> State:
    return "drifted" if drift.drifted else "suspect" if drift.suspect else "clear"


def effect_of(drift: ColumnDrift) -> float | None:
    """Return how far a column is from its reference."""
    return drift.effect


def limit_of(limits: Limits) -> float:
    """Return how far is too far."""
    return limits.effect


def measured(column: ColumnProfile, prefix: str, summary: Mapping[str, int], limits: Limits) -> float | None:
    """Return how far one column of a summary is from its reference; None with too few rows to say."""
    from services.monitor.columns import compare  # noqa: PLC0415 - scipy takes a second and 80 MB

    found = compare(column, prefix, summary).figures
    return effect_of(found) if found.n >= limits.psi_min_rows else None


def facts(drift: ColumnDrift) -> tuple[tuple[str, str], ...]:
    """Return what is said of a column, name and value, in the order of a reader's questions."""
    said = [("effect", number(drift.effect)), ("p", number(drift.p_value)), ("PSI", number(drift.psi))]
    if drift.kind == "numeric":
        said.append(("shift", NOTHING if drift.mean_shift is None else f"{number(drift.mean_shift)} std"))
        said.append(("mean", f"{number(drift.reference_mean)} → {number(drift.mean)}"))
    if drift.null_rate or drift.reference_null_rate:
        said.append(("nulls", f"{percent(drift.reference_null_rate)} → {percent(drift.null_rate)}"))
    if drift.out_of_range_rate:
        said.append(("out of range", percent(drift.out_of_range_rate)))
    if drift.unknown_rate:
        said.append(("unknown", percent(drift.unknown_rate)))
    return tuple(said)
