"""Says in the log when a feature starts or stops to drift; once per change, not once per look."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from services.monitor.drift import ColumnDrift, DriftReport
from shared.profile import PREDICTION


@dataclass(frozen=True)
class Change:
    """A column passed a limit, or came back."""

    state: Literal["firing", "resolved"]
    feature: str
    reasons: tuple[str, ...]
    mean_shift: float | None
    psi: float | None
    n: int


class DriftWatch:
    """Remembers which columns of which version have drifted."""

    def __init__(self) -> None:
        self._version: str | None = None
        self._firing: set[str] = set()

    def look(self, report: DriftReport) -> list[Change]:
        """Return what changed since the last look. A new version starts with nothing firing."""
        if report.model_version != self._version:
            self._version, self._firing = report.model_version, set()
        changes = list(self._changes(report))
        self._firing = {name for name, column in _columns(report) if column.drifted}
        return changes

    def _changes(self, report: DriftReport) -> Iterator[Change]:
        for name, column in _columns(report):
            if column.drifted != (name in self._firing):
                state: Literal["firing", "resolved"] = "firing" if column.drifted else "resolved"
                yield Change(state, name, tuple(column.reasons), column.mean_shift, column.psi, column.n)


def _columns(report: DriftReport) -> list[tuple[str, ColumnDrift]]:
    return [*report.features.items(), (PREDICTION, report.prediction)]
