"""Log files of the processes: one each, rotated when the process starts."""

from pathlib import Path

ROTATE_AT = 10 * 1024 * 1024
KEPT = 3
_TAIL_BYTES = 16 * 1024


def rotate(log: Path) -> None:
    """Move a log that has grown too large out of the way: x.log → x.log.1 → … → x.log.3 → gone."""
    if not log.exists() or log.stat().st_size < ROTATE_AT:
        return
    for number in range(KEPT, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        newer = log.with_name(f"{log.name}.{number - 1}") if number > 1 else log
        if newer.exists():
            newer.replace(older)


def tail(log: Path, lines: int, since: int = 0) -> list[str]:
    """Return the last `lines` lines written after the offset `since`; none if there is no log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(since, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:] if lines else []
