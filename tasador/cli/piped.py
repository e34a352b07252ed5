"""A table that comes through a pipe: its first bytes tell what it is."""

import io
import zlib
from dataclasses import dataclass
from typing import IO

from tasador.client.formats import media_type

_PEEK = 4096
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class UnknownPipe(ValueError):
    """Nothing but the user knows what is in there."""


@dataclass(frozen=True)
class Piped:
    """A stream with what was recognised of it."""

    file: IO[bytes]
    content_type: str
    content_encoding: str | None


class _Rejoined(io.RawIOBase):
    """A stream with the bytes back in front that were taken to look at."""

    def __init__(self, beginning: bytes, rest: IO[bytes]) -> None:
        self._beginning = beginning
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        beginning, self._beginning = self._beginning, b""
        return beginning or self._rest.read(size)


def recognise(stdin: IO[bytes], content_type: str | None) -> Piped:
    """Look at the beginning of a stream, unless its format was named; compression is recognised in any case.

    Raises:
        UnknownPipe: compressed in a way that hides what is in it.
    """
    beginning = stdin.read(_PEEK)
    coding = "gzip" if beginning.startswith(_GZIP) else "zstd" if beginning.startswith(_ZSTD) else None
    if content_type is None and coding == "zstd":
        raise UnknownPipe("zstd hides the format of what is piped: name it with --type")
    if content_type is None:
        content_type = guess(_gunzipped(beginning) if coding else beginning)
    return Piped(_Rejoined(beginning, stdin), content_type, coding)  # type: ignore[arg-type]  # it is only read


def guess(beginning: bytes) -> str:
    """Return the media type that the first bytes of a table speak for."""
    if beginning.startswith(b"PAR1"):
        return media_type("parquet")
    if beginning.startswith(b"ARROW1"):
        return media_type("arrow")
    if beginning.startswith(b"\xff\xff\xff\xff"):
        return media_type("arrows")
    text = beginning.lstrip()
    if text.startswith(b"{") and not text.startswith((b'{"instances"', b"{\n", b"{\r")):
        return media_type("ndjson")
    return media_type("json") if text.startswith((b"{", b"[")) else media_type("csv")


def _gunzipped(beginning: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(beginning, _PEEK)
    except zlib.error:  # the gateway says what is wrong with it
        return b""
