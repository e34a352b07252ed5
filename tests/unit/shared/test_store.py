"""The local store: whole or not at all, listed without leftovers, clear about what is missing."""

import resource
from pathlib import Path

import pytest

from shared.store import ObjectExists, ObjectNotFound, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open((tmp_path / "a b").as_uri())


async def test_what_was_put_is_read_back_whole_and_in_ranges(store: Store) -> None:
    await store.put("jobs/1/input", b"0123456789")
    assert await store.get("jobs/1/input") == b"0123456789"
    assert await store.get_range("jobs/1/input", 2, 5) == b"234"
    assert await store.exists("jobs/1/input")


async def test_put_replaces_and_put_new_does_not(store: Store) -> None:
    await store.put("k", b"1")
    await store.put("k", b"2")
    with pytest.raises(ObjectExists, match="'k'"):
        await store.put_new("k", b"3")
    assert await store.get("k") == b"2"


async def test_a_missing_object_is_named(store: Store) -> None:
    with pytest.raises(ObjectNotFound, match="gone"):
        await store.get("gone")
    with pytest.raises(ObjectNotFound, match="gone"):
        await store.get_range("gone", 0, 1)
    assert not await store.exists("gone")
    await store.delete("gone")


async def test_listing_sees_objects_but_nothing_half_written(store: Store, tmp_path: Path) -> None:
    await store.put("jobs/1/a", b"")
    await store.put("jobs/2/b", b"")
    (tmp_path / "a b" / "jobs" / "1" / ".tmp-x").write_bytes(b"half")
    assert sorted([key async for key in store.list("jobs")]) == ["jobs/1/a", "jobs/2/b"]
    assert sorted(await store.directories("jobs")) == ["1", "2"]


async def test_a_file_is_put_without_reading_it_whole(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    await store.put_file("big", source)
    assert len(await store.get("big")) == 3_000_000


async def test_a_failed_write_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await store.put_file("k", tmp_path / "absent")
    assert [key async for key in store.list("")] == []
    assert list((tmp_path / "a b").rglob(".tmp-*")) == []


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
