"""The store: durable objects under string keys, on local disk or S3, behind one async API.

obstore does the work, except on local disk. There it copies what it reads, and neither fsyncs what it writes nor lets
us say when to: the protocol of `docs/architecture.md` needs an object to be on disk before Redis hears of it.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from shared.durable import TEMPORARY, keep_nameless, new_file
from shared.remote import PIECE_BYTES, PIECES, first_line, open_remote

_DELETED_AT_ONCE = 1000  # what S3 takes in one request

T = TypeVar("T")


class ObjectNotFound(KeyError):
    """There is no object under this key."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the store has no object {self.key!r}"


class ObjectTooShort(ObjectNotFound):
    """The object ends before what was asked for: it was cut off."""

    def __str__(self) -> str:
        return f"the store's object {self.key!r} was cut off"


class ObjectExists(ValueError):
    """An object that must be written once is there already."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the store already has an object {key!r}")
        self.key = key


class StoreUnavailable(OSError):
    """The store did not do what it was asked. The local disk raises other kinds of OSError as well."""


@dataclass(frozen=True)
class Stored:
    """An object that is there."""

    key: str
    size: int
    """In bytes."""


class Store:
    """Objects under `/`-separated keys. An object is written whole or not at all, and is durable when a put returns."""

    def __init__(self, url: str, backend: Any, root: Path | None) -> None:
        self.url = url
        self._backend = backend
        self._root = root

    @classmethod
    def open(cls, url: str) -> "Store":
        """Open `file:///path` (created if missing) or any URL obstore knows (`s3://bucket/prefix`, …).

        Raises:
            SettingsInvalid: it is no such URL. Whether the store can be reached shows when it is used.
        """
        parts = urlparse(url)
        if parts.scheme != "file":
            return cls(url, open_remote(url), None)
        root = Path(unquote(parts.path))
        root.mkdir(parents=True, exist_ok=True)
        return cls(url, LocalStore(str(root)), root)

    async def put(self, key: str, data: bytes) -> None:
        """Write or replace an object."""
        if self._root is None:
            await _done(obstore.put_async(self._backend, key, data))
        else:
            await asyncio.to_thread(_write_local, self._root / key, data, replace=True)

    async def put_new(self, key: str, data: bytes) -> None:
        """Write an object that must not exist.

        Raises:
            ObjectExists: there is one under this key; it is left as it was.
        """
        try:
            if self._root is None:
                await _done(obstore.put_async(self._backend, key, data, mode="create"))
            else:
                await asyncio.to_thread(_write_local, self._root / key, data, replace=False)
        except (FileExistsError, AlreadyExistsError) as exists:
            raise ObjectExists(key) from exists

    async def put_file(self, key: str, path: Path) -> None:
        """Write or replace an object from a file, without reading it into memory.

        One without a name, on the store's own disk, becomes the object: it must not be written to any more.
        """
        if self._root is None:
            with path.open("rb") as source:
                await _done(
                    obstore.put_async(self._backend, key, source, chunk_size=PIECE_BYTES, max_concurrency=PIECES)
                )
        else:
            await asyncio.to_thread(_put_local, self._root / key, path)

    async def get(self, key: str) -> bytes:
        """Read a whole object. Raises ObjectNotFound."""
        try:
            if self._root is not None:
                return await asyncio.to_thread(_read_local, self._root, key)
            result = await _done(obstore.get_async(self._backend, key))
            return bytes(await _done(result.bytes_async()))
        except FileNotFoundError as missing:
            raise ObjectNotFound(key) from missing

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Read bytes [start, end) of an object. Raises ObjectNotFound, also for one that ends before."""
        try:
            if self._root is not None:
                found = await asyncio.to_thread(_read_local, self._root, key, start, end)
            else:
                found = bytes(await _done(obstore.get_range_async(self._backend, key, start=start, end=end)))
        except FileNotFoundError as missing:
            raise ObjectNotFound(key) from missing
        except StoreUnavailable:  # what stores say, too, when a range begins behind the end
            if await self._size(key) < end:
                raise ObjectTooShort(key) from None
            raise
        if len(found) < end - start:
            raise ObjectTooShort(key)
        return found

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Yield an object of any size in pieces. One that is replaced meanwhile is an error, not a mixture of both.

        Raises:
            ObjectNotFound
        """
        try:
            meta = await _done(obstore.head_async(self._backend, key))
            for start in range(0, meta["size"], PIECE_BYTES):
                end = min(start + PIECE_BYTES, meta["size"])
                options: Any = {"range": (start, end), "if_match": meta["e_tag"]}
                found = await _done(obstore.get_async(self._backend, key, options=options))
                yield bytes(await _done(found.bytes_async()))
        except FileNotFoundError as missing:
            raise ObjectNotFound(key) from missing

    async def exists(self, key: str) -> bool:
        try:
            await _done(obstore.head_async(self._backend, key))
        except FileNotFoundError:
            return False
        return True

    async def _size(self, key: str) -> int:
        size: int = (await _done(obstore.head_async(self._backend, key)))["size"]
        return size

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys of all objects below `prefix/`, in no order."""
        async for each in self.found(prefix):
            yield each.key

    async def found(self, prefix: str) -> AsyncIterator[Stored]:
        """Yield all objects below `prefix/`, in no order."""
        batches = aiter(obstore.list(self._backend, prefix.rstrip("/") + "/"))
        while (batch := await _done(anext(batches, None))) is not None:
            for entry in batch:
                if TEMPORARY not in entry["path"]:
                    yield Stored(entry["path"], entry["size"])

    async def directories(self, prefix: str) -> Sequence[str]:
        """Return the names directly below `prefix/` that have objects of their own."""
        found = await _done(obstore.list_with_delimiter_async(self._backend, prefix.rstrip("/") + "/"))
        return [path.rstrip("/").rsplit("/", 1)[-1] for path in found["common_prefixes"]]

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        try:
            await _done(obstore.delete_async(self._backend, key))
        except FileNotFoundError:
            return

    async def delete_all(self, prefix: str) -> None:
        """Remove all objects below `prefix/`, and what a killed writer left there. Nobody may write there any more."""
        if self._root is not None:
            await asyncio.to_thread(_remove_directory, self._root / prefix)
            return
        batches = aiter(obstore.list(self._backend, prefix.rstrip("/") + "/", chunk_size=_DELETED_AT_ONCE))
        while (batch := await _done(anext(batches, None))) is not None:
            await _done(obstore.delete_async(self._backend, [entry["path"] for entry in batch]))


async def _done(call: Awaitable[T]) -> T:
    """Let every kind of store fail with the kind of error that a disk gives."""
    try:
        return await call
    except AlreadyExistsError:
        raise
    except BaseError as error:
        raise StoreUnavailable(first_line(error)) from error
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):  # which says nothing about the object
            raise StoreUnavailable(f"the store's bucket does not exist: {first_line(error)}") from error
        raise


def _remove_directory(path: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def _read_local(root: Path, key: str, start: int = 0, end: int | None = None) -> bytes:
    if key.startswith("/") or ".." in key.split("/"):  # nothing outside of the store is an object
        raise FileNotFoundError(key)
    try:
        with (root / key).open("rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(end - start)
    except IsADirectoryError as error:
        raise FileNotFoundError(key) from error


def _write_local(path: Path, data: bytes, *, replace: bool) -> None:
    with new_file(path, replace=replace) as file:
        file.write(data)


def _put_local(path: Path, source: Path) -> None:
    with source.open("rb") as data:
        if keep_nameless(data.fileno(), path):
            return
        with new_file(path, replace=True) as file:
            while block := data.read(1 << 20):
                file.write(block)
