"""Is what is installed what the lock says?"""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.markers import Marker

_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)\s*(?:;\s*([^\\]+))?")


def pins(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and version of each package that a lock wants on this machine."""
    for line in text.splitlines():
        found = _PIN.match(line)
        if found and (not found[3] or Marker(found[3].strip()).evaluate()):
            yield found[1], found[2]


def out_of_step(lock: Path) -> list[str]:
    """Return what differs from the lock, a line each."""
    return [
        f"{name} {installed or 'is missing'}, the lock says {wanted}"
        for name, wanted in pins(lock.read_text())
        if (installed := _installed(name)) != wanted
    ]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
