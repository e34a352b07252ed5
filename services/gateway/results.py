"""The formats that results come in, and which of them a client gets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.gateway.columnar import ArrowRenderer, ParquetRenderer
from services.gateway.rendering import CsvRenderer, DocumentRenderer, LinesRenderer, Renderer
from services.gateway.tables.formats import ALIASES, Format


@dataclass(frozen=True)
class Output:
    """A format that results come in."""

    media_type: str
    suffix: str
    renderer: Callable[[Any], Renderer]
    """Given the schema of the parts."""


OUTPUTS: Mapping[Format, Output] = {
    Format.LINES: Output("application/x-ndjson", "ndjson", LinesRenderer),
    Format.CSV: Output("text/csv; charset=utf-8; header=present", "csv", CsvRenderer),
    Format.JSON: Output("application/json", "json", DocumentRenderer),
    Format.PARQUET: Output("application/vnd.apache.parquet", "parquet", ParquetRenderer),
    Format.ARROW: Output("application/vnd.apache.arrow.stream", "arrows", ArrowRenderer),
    Format.ARROW_FILE: Output("application/vnd.apache.arrow.file", "arrow", partial(ArrowRenderer, file=True)),
}
_HEADLESS = "text/csv;header=absent"
_NAMES: Sequence[tuple[str, Output]] = [
    ("application/x-ndjson", OUTPUTS[Format.LINES]),  # the first one that a range takes in is what it gets
    ("text/csv", OUTPUTS[Format.CSV]),
    (_HEADLESS, Output("text/csv; charset=utf-8; header=absent", "csv", partial(CsvRenderer, header=False))),
    ("application/jsonl", OUTPUTS[Format.LINES]),
    ("application/json", OUTPUTS[Format.JSON]),
    ("application/vnd.apache.parquet", OUTPUTS[Format.PARQUET]),
    ("application/vnd.apache.arrow.stream", OUTPUTS[Format.ARROW]),
    ("application/vnd.apache.arrow.file", OUTPUTS[Format.ARROW_FILE]),
]


def acceptable(accept: str) -> Output | None:
    """Return the output that an Accept header likes best; None if it takes none of ours.

    Equal wishes are decided by the order of the header, and a range by our order.
    """
    best: tuple[float, Output] | None = None
    refused = {name for name, quality in _wishes(accept) if quality <= 0}
    for wish, quality in _wishes(accept or "*/*"):
        found = next((output for name, output in _NAMES if name not in refused and _matches(wish, name)), None)
        if quality > 0 and found is not None and (best is None or quality > best[0]):
            best = (quality, found)
    return best[1] if best else None


def _wishes(accept: str) -> Iterator[tuple[str, float]]:
    for item in accept.lower().split(","):
        name, *parameters = ("".join(part.split()) for part in item.split(";"))
        name = ALIASES.get(name, name)
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        with suppress(ValueError):
            yield _HEADLESS if name == "text/csv" and "header=absent" in parameters else name, float(quality)


def _matches(wish: str, name: str) -> bool:
    return wish in ("*/*", name) or (wish.endswith("/*") and name.startswith(wish[:-1]) and name != _HEADLESS)
