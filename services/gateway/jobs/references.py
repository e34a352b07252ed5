"""Input by reference: `{"input": "s3://…"}` in place of the table itself, below prefixes that the operator allows.

A reference is taken as it is written, and only the paths of `file://` are percent-decoded, once. What decides for a
local file is where it really is once it is open: neither `..` nor a symbolic link leads out of a prefix.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.parse import unquote, urlsplit

import msgspec
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from services.gateway.problems import ErrorItem, Problem
from services.gateway.tables import Format
from shared.store import ObjectNotFound, Store, StoreUnavailable

SETTING = "TASADOR_GATEWAY_INPUT_PREFIXES"
MAX_DOCUMENT = 16_384  # bytes of a body that may be a reference
_PIECE = 1 << 20
_DENIED = (PermissionDeniedError, UnauthenticatedError)

_FORMATS = {
    "csv": Format.CSV,
    "ndjson": Format.LINES,
    "json": Format.JSON,
    "parquet": Format.PARQUET,
    "arrow": Format.ARROW,
}
_SUFFIXES = _FORMATS | {"jsonl": Format.LINES, "arrows": Format.ARROW, "feather": Format.ARROW_FILE}
REFERENCE = {
    "type": "object",
    "title": "Reference",
    "required": ["input"],
    "properties": {
        "input": {"type": "string", "format": "uri", "examples": ["s3://bucket/table.csv.gz"]},
        "format": {"type": "string", "enum": list(_FORMATS), "description": "By default as the name ends."},
    },
    "additionalProperties": False,
}
_CODINGS = {"gz": "gzip", "zst": "zstd", "zstd": "zstd"}


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a submission that names its input."""

    input: str
    format: str | None = None

    @property
    def kind(self) -> Format:
        """Raises Problem."""
        if self.format is not None:
            if self.format not in _FORMATS:
                _invalid("/format", f"expected one of {', '.join(_FORMATS)}, got {self.format[:50]!r}")
            return _FORMATS[self.format]
        *_, last = self._suffixes or ("",)
        if last not in _SUFFIXES:
            _invalid("/format", f"cannot tell the format from the name; name one of {', '.join(_FORMATS)}")
        return _SUFFIXES[last]

    @property
    def coding(self) -> str:
        return _CODINGS.get(self.input.rsplit(".", 1)[-1].lower(), "identity")

    @property
    def _suffixes(self) -> Sequence[str]:
        parts = self.input.rsplit("/", 1)[-1].lower().split(".")[1:]
        return parts[:-1] if parts and parts[-1] in _CODINGS else parts


def reference_in(body: bytes) -> Reference | None:
    """Return the reference that a JSON body is, None if it is something else.

    Raises:
        Problem: it is meant as a reference, and is none.
    """
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None  # whoever reads it as a table says what is wrong with it
    if not isinstance(document, dict) or "input" not in document:
        return None
    try:
        return msgspec.convert(document, Reference)
    except msgspec.ValidationError as error:
        _invalid("", f'expected {{"input": "s3://…", "format"?}} or {{"instances": […]}}: {error}')


class Sources:
    """Where inputs may lie. Stores are opened once, when they are first asked for."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        self._prefixes = prefixes
        self._stores: dict[str, Store] = {}

    def pieces(self, reference: Reference) -> AsyncGenerator[bytes, None]:
        """Yield what a reference refers to; asking for the first piece finds out whether it can be read.

        Raises:
            Problem: it is not below an allowed prefix, or cannot be read.
        """
        prefix, rest = self._allowed(reference.input)
        if prefix.startswith("file:"):
            return _local(_path(prefix), rest, reference.input)
        return self._remote(prefix, rest, reference.input)

    def _allowed(self, url: str) -> tuple[str, str]:
        """Return the prefix and what follows it."""
        for prefix in self._prefixes:
            if url.startswith(prefix):
                rest = url.removeprefix(prefix)
                rest = unquote(rest) if prefix.startswith("file:") else rest
                if rest.isprintable() and frozenset(rest.split("/")).isdisjoint(("", ".", "..")):
                    return prefix, rest
        raise _not_allowed()

    async def _remote(self, prefix: str, key: str, url: str) -> AsyncGenerator[bytes, None]:
        if prefix not in self._stores:
            self._stores[prefix] = Store.open(prefix)
        try:
            async for piece in self._stores[prefix].pieces(key):
                yield piece
        except ObjectNotFound as missing:
            raise _unreadable(url, "there is no such object") from missing
        except StoreUnavailable as error:
            if isinstance(error.__cause__, _DENIED):
                raise _unreadable(url, "access is denied") from error
            raise


async def _local(root: Path, rest: str, url: str) -> AsyncGenerator[bytes, None]:
    with await asyncio.to_thread(_opened, root, root / rest, url) as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


def _path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _opened(root: Path, path: Path, url: str) -> BinaryIO:
    try:
        # Not blocking: opening a pipe would wait for somebody to write into it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(url, error.strerror or "it cannot be opened") from error
    try:
        if not _really(handle, path).is_relative_to(root.resolve()):
            raise _not_allowed()
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _unreadable(url, "it is no file")
        return os.fdopen(handle, "rb", buffering=0)
    except BaseException:
        os.close(handle)
        raise


def _really(handle: int, path: Path) -> Path:
    """Return where an open file is: nobody can put a link in the way between looking and opening."""
    link = Path(f"/proc/self/fd/{handle}")
    return link.resolve() if link.exists() else path.resolve()


def _not_allowed() -> Problem:
    detail = f"`input` is not below a prefix that {SETTING} allows"
    return Problem("input-not-allowed", detail, errors=[ErrorItem("/input", "not_allowed", detail)])


def _unreadable(url: str, why: str) -> Problem:
    detail = f"{url[:200]} cannot be read: {why}"
    return Problem("input-unreadable", detail, errors=[ErrorItem("/input", "unreadable", detail)])


def _invalid(pointer: str, detail: str) -> NoReturn:
    raise Problem("invalid-body", detail, errors=[ErrorItem(pointer, "invalid", detail)])
