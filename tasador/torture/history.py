"""What was done to a stack and what it answered, in the order in which it was noted.

Times are seconds since the history began. Where an answer took a while, `asked` is when it was asked for and `at` when
it was there: whatever happened in between may or may not be in it.
"""

import threading
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from shared.jobs import TERMINAL
from tasador.torture.outcome import Outcome


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    at: float


class Accepted(Event, frozen=True):
    """A submission was answered with 202."""

    job: str
    rows: int


class Refused(Event, frozen=True):
    """A submission was answered with anything else; status 0 is no answer at all."""

    status: int
    retry_after: float | None


class Seen(Event, frozen=True):
    """What the status of an accepted job was; `status` other than 200 leaves the rest empty."""

    asked: float
    job: str
    status: int = 200
    state: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0
    version: str = ""

    @property
    def known(self) -> bool:
        return self.status == 200

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


class Manifest(Event, frozen=True):
    """What an ended job says of itself."""

    job: str
    version: str
    digest: str
    parts: int
    rows: int
    """Sum over its parts, as `failed`."""
    failed: int


class Read(Event, frozen=True):
    """The results of an ended job, held against what they should be."""

    job: str
    outcome: Outcome


class Letters(Event, frozen=True):
    """The dead letters of an ended job."""

    job: str
    rows: int


class Unread(Event, frozen=True):
    """The results of an ended job could not be read, again and again."""

    job: str
    why: str


class Stranger(Event, frozen=True):
    """What was answered about an id that was never given out."""

    status: int


class Predicted(Event, frozen=True):
    """One answer of /predict; status 0 is no answer at all."""

    status: int
    seconds: float
    version: str = ""
    right: bool | None = None
    """Whether it is that version's number for the row; None if that is not known."""


class Fault(Event, frozen=True):
    """Something was done to the stack, between `began` and `at`."""

    began: float
    kind: str
    target: str
    skipped: str = ""
    """Why it could not be done, if so."""


class Promoted(Event, frozen=True):
    """A promotion ended."""

    asked: float
    version: str
    state: str
    """succeeded, failed, or forgotten, as commands are when Redis is lost"""


class Converged(Event, frozen=True):
    """Whether all replicas served the desired version, once nothing was broken any more."""

    state: bool


class Replica(Event, frozen=True):
    """What /replicas said of one replica."""

    id: str
    epoch: int


E = TypeVar("E", bound=Event)


class History:
    """Written by several threads, read when they have ended."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def now(self) -> float:
        """Return the seconds since the history began."""
        return time.monotonic() - self._began

    def note(self, *events: Event) -> None:
        with self._lock:
            self._events += events

    def of(self, kind: type[E]) -> list[E]:
        """Return all events of one kind, in order."""
        with self._lock:
            return [event for event in self._events if isinstance(event, kind)]

    def sightings(self) -> dict[str, list[Seen]]:
        """Return what was seen of each accepted job, in order."""
        found: dict[str, list[Seen]] = {accepted.job: [] for accepted in self.of(Accepted)}
        for seen in self.of(Seen):
            found.setdefault(seen.job, []).append(seen)
        return found

    def write(self, path: Path) -> None:
        """Write all events, a JSON object a line."""
        with self._lock:
            lines = msgspec.json.Encoder().encode_lines(self._events)
        path.write_bytes(lines)
