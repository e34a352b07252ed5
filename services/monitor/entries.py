"""Stream entries as they arrive, and what it takes to trust one."""

import re
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from services.monitor.fold import InvalidEvent
from shared.events import Event

FIELD = b"__data__"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Entry:
    """An entry of a stream. `body` is None when the field is missing."""

    stream: str
    id: str
    body: bytes | None

    @classmethod
    def of(cls, stream: str, entry_id: bytes, fields: dict[bytes, bytes]) -> "Entry":
        return cls(stream, entry_id.decode(), fields.get(FIELD))


def read_event(kind: type[E], entry: Entry) -> E:
    """Parse one entry. Raises InvalidEvent, whatever is wrong with it."""
    if entry.body is None:
        raise InvalidEvent("the entry has no body")
    try:
        return kind.model_validate_json(entry.body)
    except ValidationError as invalid:
        errors = invalid.errors(include_input=False, include_url=False)[:3]
        reasons = [f"{'.'.join(map(str, error['loc'])) or 'body'}: {error['msg']}" for error in errors]
        raise InvalidEvent("; ".join(reasons)) from invalid


def check_name(*names: str) -> None:
    """Names become parts of keys and paths. Raises InvalidEvent for one that cannot."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise InvalidEvent(f"{name[:50]!r} is no name of a model or version")
