"""What the local store alone does: nothing half-written, nothing left behind. The rest is in the integration tests."""

import os
import resource
import sys
from pathlib import Path

import pytest

from shared.durable import nameless_file
from shared.store import ObjectExists, ObjectNotFound, Store


@pytest.fixture(params=["nameless", "named"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    """On a disk that knows files without a name, and on one that does not."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return Store.open((tmp_path / "a b").as_uri())


async def test_listing_sees_objects_but_nothing_half_written(store: Store, tmp_path: Path) -> None:
    await store.put("jobs/1/a", b"")
    await store.put("jobs/2/b", b"")
    (tmp_path / "a b" / "jobs" / "1" / ".tmp-x").write_bytes(b"half")
    assert sorted([key async for key in store.list("jobs")]) == ["jobs/1/a", "jobs/2/b"]
    assert sorted(await store.directories("jobs")) == ["1", "2"]


async def test_put_replaces_and_put_new_does_not(store: Store, tmp_path: Path) -> None:
    await store.put("k", b"1")
    await store.put("k", b"2")
    with pytest.raises(ObjectExists, match="'k'"):
        await store.put_new("k", b"3")
    await store.put_new("n", b"4")
    assert {path.name: path.read_bytes() for path in (tmp_path / "a b").iterdir()} == {"k": b"2", "n": b"4"}


async def test_a_failed_write_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await store.put_file("k", tmp_path / "absent")
    assert [key async for key in store.list("")] == []
    assert list((tmp_path / "a b").rglob(".tmp-*")) == []


async def test_a_file_without_a_name_becomes_the_object(
    store: Store, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await store.put("d/k", b"old")
    with nameless_file(tmp_path) as file:
        file.write(b"new")
        file.flush()
        await store.put_file("d/k", Path(f"/dev/fd/{file.fileno()}"))
        inode = os.fstat(file.fileno()).st_ino
    assert await store.get("d/k") == b"new"
    assert [path.name for path in (tmp_path / "a b/d").iterdir()] == ["k"]
    if sys.platform == "linux" and "nameless" in request.node.name:
        assert (tmp_path / "a b/d/k").stat().st_ino == inode


async def test_a_file_that_has_a_name_stays_its_owners(store: Store, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"1")
    await store.put_file("k", tmp_path / "source")
    (tmp_path / "source").write_bytes(b"2")
    assert await store.get("k") == b"1"


OTHER_DISK = Path("/dev/shm")


@pytest.mark.skipif(not OTHER_DISK.is_dir(), reason="there is no other disk here")
async def test_a_file_on_another_disk_is_copied(store: Store) -> None:
    with nameless_file(OTHER_DISK) as file:
        file.write(b"1")
        file.flush()
        await store.put_file("k", Path(f"/dev/fd/{file.fileno()}"))
    assert await store.get("k") == b"1"
    assert [key async for key in store.list("")] == ["k"]


async def test_a_full_disk_is_left_no_fuller(store: Store, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            await store.put("k", b"x" * 100_500)  # the end of it waits in a buffer, and is tried again when closing
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "a b").rglob("*")) == []


async def test_whatever_the_store_does_not_do_is_an_error_of_the_operating_system(store: Store) -> None:
    await store.put("k", b"1")
    with pytest.raises(OSError, match="k/below"):
        await store.get("k/below")


async def test_nothing_outside_of_the_store_is_an_object(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"1")
    for key in ("../secret", "k/../../secret", str(tmp_path / "secret")):
        with pytest.raises(ObjectNotFound, match="secret"):
            await store.get(key)


async def test_a_directory_is_no_object(store: Store) -> None:
    await store.put("d/k", b"1")
    with pytest.raises(ObjectNotFound):
        await store.get("d")
