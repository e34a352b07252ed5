"""`tasador up --reload`: which services to restart because their code has changed."""

from collections.abc import Mapping
from pathlib import Path

from tasador.stack.commands import SERVICES

Snapshot = Mapping[Path, int]


def snapshot(root: Path) -> Snapshot:
    """Return the modification time (ns) of every file that a service is made of."""
    files = [
        path for part in ("services", "shared") for path in (root / part).rglob("*") if path.suffix in {".py", ".lua"}
    ]
    return {path: modified for path in files if (modified := _modified(path)) is not None}


def changed_services(root: Path, before: Snapshot, after: Snapshot) -> set[str]:
    """Return the services that a difference between two snapshots concerns; `shared` concerns all."""
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    services: set[str] = set()
    for path in changed:
        part, *rest = path.relative_to(root).parts
        services |= set(SERVICES) if part == "shared" else set(SERVICES) & set(rest[:1])
    return services


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # an editor replaced it just now
        return None
