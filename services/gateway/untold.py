"""What the monitor shall hear besides predictions: rows that got none, and that predictions were dropped.

It goes with the next event of the version, or with one that holds no rows: a gateway that refuses everything, or falls
silent after its stream was full, must not look like one that is not asked.
"""

from collections import Counter
from collections.abc import Mapping

from services.gateway.tally import Mode

Version = tuple[str, str]
"""Name and version of a model."""


class Untold:
    """Only the event loop's thread touches it."""

    def __init__(self) -> None:
        self._failed: dict[Version, Counter[Mode]] = {}
        self._dropped: Version | None = None
        self._dropped_up_to = 0  # of the rows answered; an event that reaches so far tells of the gap before it

    def __bool__(self) -> bool:
        return bool(self._failed) or self._dropped is not None

    def failed(self, version: Version, rows: Mapping[Mode, int]) -> None:
        if rows:
            self._failed.setdefault(version, Counter()).update(rows)

    def dropped(self, version: Version, up_to: int) -> None:
        """Rows were dropped, the last of them when so many had been answered."""
        self._dropped, self._dropped_up_to = version, max(self._dropped_up_to, up_to)

    def told(self, up_to: int) -> None:
        """An event was sent that says so many had been answered at its end."""
        if up_to >= self._dropped_up_to:
            self._dropped = None

    def take_failed(self, version: Version) -> dict[Mode, int]:
        """Return the rows that failed since the last time; they are told now, or given back to `failed`."""
        return dict(self._failed.pop(version, ()))

    def waits_behind(self, coming: Version | None) -> Version | None:
        """Return the version of something that the next rows will not tell, if there is any.

        Args:
            coming: version of the rows that will be sent next; None if there are none.
        """
        failed = next((version for version in self._failed if version != coming), None)
        return failed or (self._dropped if coming is None else None)
