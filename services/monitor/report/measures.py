"""Which of the figures of drift a report shows, and which one columns are ordered and coloured by. Pure."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from services.monitor.distances import ks, total_variation
from services.monitor.drift import ColumnDrift, Limits
from services.monitor.report.data import State
from services.monitor.report.words import NOTHING, number, percent
from shared.profile import ColumnProfile, column_counts

RANKS: Final[Mapping[State, int]] = {"drifted": 0, "suspect": 1, "clear": 2}


def state_of(drift: ColumnDrift) -> State:
    if drift.drifted:
        return "drifted"
    return "suspect" if drift.suspect else "clear"


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


def of_what_it_takes(column: ColumnProfile, prefix: str, summary: Mapping[str, int], limits: Limits) -> float | None:
    """Return how far a column of a few rows is from its reference, as a share of what it would take to matter.

    That is the limit, or more where so few rows differ by more by chance: by the inequality of Dvoretzky, Kiefer and
    Wolfowitz for distribution functions and rates, by McDiarmid's for shares of categories. It takes no test, of which
    a report would need a thousand. None where even rows that are all different would not be enough.
    """
    live, nulls = column_counts(summary, prefix, column)
    reference, n, m = np.asarray(column.counts, np.int64), int(live.sum()), column.n - column.nulls
    shares = []
    if n + nulls and column.n:
        changed = abs(nulls / (n + nulls) - column.nulls / column.n)
        shares.append(_share(changed, limits.rate, _chance(n + nulls, column.n, limits)))
    if n and m:
        chance = _chance(n, m, limits)
        if column.kind == "categorical":
            chance += math.sqrt(len(live) * (1 / n + 1 / m)) / 2
            shares.append(_share(total_variation(reference, live), limits.effect, chance))
        else:
            shares.append(_share(ks(column, live)[0], limits.effect, chance))
    return max((share for share in shares if share is not None), default=None)


def _chance(n: int, m: int, limits: Limits) -> float:
    return math.sqrt(math.log(2 / limits.false_alarms) / 2 * (1 / n + 1 / m))


def _share(effect: float, limit: float, chance: float) -> float | None:
    return effect / max(limit, chance) if chance < 1 else None
