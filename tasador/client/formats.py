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
    """A file name does not say what is in it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"cannot tell the format of {name}: end its name in one of {', '.join(MEDIA_TYPES)}")


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
        raise UnknownFormat(str(name))
    return MEDIA_TYPES[suffix]


def content_coding(path: PurePath) -> str | None:
    """Return how a file is compressed, by the end of its name."""
    return CODINGS.get(path.suffix.lower())
