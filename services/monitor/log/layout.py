"""Where the files of the prediction log, and of labelled rows, are: `<root>/<model>/date=<day>/<name>.parquet`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex

LOG = "log"
LABELS = "labels"
SUFFIX = ".parquet"
_DAY = "date="


@dataclass(frozen=True)
class Partition:
    """The rows of one model that were answered on one day (UTC)."""

    root: str
    model: str
    day: str

    @classmethod
    def of(cls, key: str) -> "Partition":
        """Return the partition of a file."""
        root, model, directory, _ = key.split("/")
        return cls(root, model, directory.removeprefix(_DAY))

    @property
    def prefix(self) -> str:
        return f"{self.root}/{self.model}/{_DAY}{self.day}"

    def new_key(self, now: datetime) -> str:
        """Return a name that nobody else uses."""
        return f"{self.prefix}/{stamp(now)}-{token_hex(6)}{SUFFIX}"


def stamp(time: datetime) -> str:
    """Return a moment as names have it; they sort by time."""
    return time.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def read_stamp(text: str) -> datetime:
    """Raises ValueError."""
    return datetime.strptime(text, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)


def days_of(directories: Iterable[str]) -> list[str]:
    """Return the days that directories are named after, the newest first; others are passed over."""
    return sorted((name.removeprefix(_DAY) for name in directories if _is_day(name)), reverse=True)


def is_expired(day: str, keep_days: int, now: datetime) -> bool:
    """Whether all of a day is more than `keep_days` ago; 0 keeps for ever."""
    return keep_days > 0 and _end(day) + timedelta(days=keep_days) <= now


def is_closed(day: str, now: datetime) -> bool:
    """Whether a day is over, and what was answered on it has arrived if nothing is the matter."""
    return _end(day) + timedelta(hours=1) <= now


def _end(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)


def _is_day(name: str) -> bool:
    try:
        return name.startswith(_DAY) and datetime.fromisoformat(name.removeprefix(_DAY)).tzinfo is None
    except ValueError:
        return False
