"""Files on local disk that appear whole and synced, or not at all, whatever happens to the process meanwhile."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp-"
"""What the names of files begin with that are not finished."""
_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)  # NFS and some others


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Give a file to write, which is at `path`, synced, when the block ends. An error in the block leaves nothing.

    Raises:
        FileExistsError: there is one and `replace` is false; it is left as it was.
    """
    _make_directories(path.parent)
    handle, name = _open(path.parent)
    try:
        with os.fdopen(handle, "wb") as file:  # a full disk may show when it is closed, too
            yield file
            file.flush()
            os.fsync(handle)
            if replace:
                if name is None:
                    name = _unused(path.parent)
                    _link(handle, name)
                name.replace(path)
            elif name is None:
                _link(handle, path)
            else:
                os.link(name, path)  # unlike rename, fails if the name is taken
    finally:
        if name is not None:
            name.unlink(missing_ok=True)
    _sync_directory(path.parent)


def nameless_file(directory: Path) -> BinaryIO:
    """Return an empty file to write and read, of which nothing is left when it is closed, unless it is kept."""
    handle, name = _open(directory)
    if name is not None:
        name.unlink()
    return os.fdopen(handle, "w+b")


def keep_nameless(handle: int, path: Path) -> bool:
    """Put a nameless file at `path`, synced, without copying it; it must not be written to any more.

    Returns:
        Whether it is there: a file that has a name, or is on another disk, is not.
    """
    if os.fstat(handle).st_nlink:
        return False
    _make_directories(path.parent)
    name = _unused(path.parent)
    try:
        _link(handle, name)
    except OSError:  # another disk, or one that cannot do this: what is wrong otherwise shows when it is copied
        return False
    try:
        os.fsync(handle)
        name.replace(path)
    finally:
        name.unlink(missing_ok=True)
    _sync_directory(path.parent)
    return True


def _open(directory: Path) -> tuple[int, Path | None]:
    """Return a handle, and the file's name if it has one: without, nothing is left behind by a process that dies."""
    with suppress(AttributeError):  # Linux alone knows it
        try:
            return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), None
        except OSError as error:
            if error.errno not in _NO_NAMELESS:
                raise
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=directory)
    return handle, Path(name)


def _unused(directory: Path) -> Path:
    return directory / f"{TEMPORARY}{os.urandom(8).hex()}"


def _link(handle: int, path: Path) -> None:
    """Give a nameless file a name; fails if it is taken."""
    # With a src_dir_fd, of no use for an absolute path, Python follows the link that /proc has for the file.
    os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=handle)


def _make_directories(path: Path) -> None:
    """Create missing directories and sync each parent, so that a power cut cannot lose the new entry."""
    if path.is_dir():
        return
    _make_directories(path.parent)
    path.mkdir(exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
