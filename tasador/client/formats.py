"""File formats of tables: media types by suffix."""

from collections.abc import Mapping
from pathlib import PurePath

NDJSON = "application/x-ndjson"
JSON = "application/json"
CSV = "text/csv"

MEDIA_TYPES: Mapping[str, str] = {
    ".csv": CSV,
    ".json": JSON,
    ".ndjson": NDJSON,
    ".jsonl": NDJSON,
    ".parquet": "application/vnd.apache.parquet",
    ".pq": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".arrows": "application/vnd.apache.arrow.stream",
}

CODINGS: Mapping[str, str] = {".gz": "gzip", ".zst": "zstd"}


class UnknownFormat(ValueError):
    """A file name does not say what is in it, or a format has a name that is not known."""

    def __init__(self, name: str | PurePath, why: str = "") -> None:
        ends = f"cannot tell the format of {name}: end its name in one of {', '.join(MEDIA_TYPES)}"
        known = f"there is no format {name}, only {', '.join(suffix[1:] for suffix in MEDIA_TYPES)}"
        super().__init__(why or (ends if isinstance(name, PurePath) else known))


def media_type(name: str | PurePath) -> str:
    """Return the media type of a file by its suffix, or of a format by its name ("csv"); compression aside.

    Raises:
        UnknownFormat: it is none of ours.
    """
    path = PurePath(name)
    if content_coding(path):
        path = path.with_suffix("")
    suffix = (path.suffix or f".{path.name}").lower()
    if suffix not in MEDIA_TYPES:
        raise UnknownFormat(name)
    return MEDIA_TYPES[suffix]


def result_type(path: PurePath) -> str:
    """Return the media type of a file that is to be written. Raises UnknownFormat."""
    if content_coding(path):
        raise UnknownFormat(path, f"results are not compressed: leave {path.suffix} off {path}")
    return media_type(path)


def content_coding(path: PurePath) -> str | None:
    """Return how a file is compressed, by the end of its name."""
    return CODINGS.get(path.suffix.lower())
