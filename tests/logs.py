"""Reading the logs of services as processes."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def lines(log: Path, **fields: str) -> list[dict[str, Any]]:
    """Return the lines that have all of these fields, oldest first. What is no JSON, as a traceback, is left out."""
    return [line for line in _documents(log) if fields.items() <= line.items()]


def events(log: Path, **fields: str) -> list[str]:
    """Return what the lines with these fields tell of."""
    return [line["event"] for line in lines(log, **fields)]


def _documents(log: Path) -> Iterable[dict[str, Any]]:
    for text in log.read_text(errors="replace").splitlines():
        try:
            document = json.loads(text)
        except ValueError:  # also one that is being written
            continue
        if isinstance(document, dict):
            yield document
