"""What every store does alike: a local directory, and S3 over the network."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import ROOT, SettingsInvalid
from shared.store import ObjectExists, ObjectNotFound, Store, StoreUnavailable
from tests.s3 import S3Server

MULTIPART = 17_000_000  # bytes: three pieces
KILLED = """
import asyncio, pathlib, sys
from shared.store import Store
asyncio.run(Store.open(sys.argv[1]).put_file("jobs/1/input", pathlib.Path(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server().running() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.new_bucket()


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        return Store.open((tmp_path / "a b").as_uri())
    return Store.open(f"s3://{request.getfixturevalue('bucket')}/a%20b")


async def test_what_was_put_is_read_back_whole_and_in_ranges(store: Store) -> None:
    await store.put("jobs/1/input", b"0123456789")
    await store.put("empty", b"")
    assert await store.get("jobs/1/input") == b"0123456789"
    assert await store.get("empty") == b""
    assert await store.get_range("jobs/1/input", 2, 5) == b"234"
    assert await store.exists("jobs/1/input")


@pytest.mark.parametrize("start", [5, 10, 12], ids=["across", "at", "behind"])
async def test_a_range_beyond_the_end_is_not_there_rather_than_later(store: Store, start: int) -> None:
    await store.put("cut off", b"0123456789")
    with pytest.raises(ObjectNotFound, match="'cut off' was cut off"):
        await store.get_range("cut off", start, 15)


async def test_put_replaces_and_put_new_does_not(store: Store) -> None:
    await store.put("k", b"1")
    await store.put("k", b"2")
    with pytest.raises(ObjectExists, match="'k'"):
        await store.put_new("k", b"3")
    assert await store.get("k") == b"2"


async def test_of_many_that_put_the_same_new_object_one_does(store: Store) -> None:
    answers = await asyncio.gather(*(store.put_new("k", b"%d" % n) for n in range(8)), return_exceptions=True)
    (winner,) = [n for n, answer in enumerate(answers) if answer is None]
    assert all(isinstance(answer, ObjectExists) for n, answer in enumerate(answers) if n != winner)
    assert await store.get("k") == b"%d" % winner


async def test_a_missing_object_is_named(store: Store) -> None:
    with pytest.raises(ObjectNotFound, match="gone"):
        await store.get("gone")
    with pytest.raises(ObjectNotFound, match="gone"):
        await store.get_range("gone", 0, 1)
    assert not await store.exists("gone")


async def test_what_was_deleted_is_gone_and_may_be_deleted_again(store: Store) -> None:
    await store.put("jobs/1/a", b"1")
    await store.delete("jobs/1/a")
    await store.delete("jobs/1/a")
    assert not await store.exists("jobs/1/a")
    assert [key async for key in store.list("jobs")] == []


async def test_all_below_a_prefix_is_deleted_and_nothing_beside_it(store: Store) -> None:
    for key in (*(f"jobs/1/parts/{n}" for n in range(120)), "jobs/1/a", "jobs/12/b"):
        await store.put(key, b"")
    for _ in range(2):
        await store.delete_all("jobs/1")
    assert [key async for key in store.list("jobs")] == ["jobs/12/b"]
    assert await store.directories("jobs") == ["12"]


async def test_listing_goes_below_a_prefix_and_not_beside_it(store: Store) -> None:
    for key in ("jobs/1/a", "jobs/1/parts/b", "jobs/2/c", "jobs-of-others/3/d"):
        await store.put(key, b"")
    assert sorted([key async for key in store.list("jobs")]) == ["jobs/1/a", "jobs/1/parts/b", "jobs/2/c"]
    assert [key async for key in store.list("none")] == []
    assert sorted(await store.directories("jobs")) == ["1", "2"]
    assert await store.directories("none") == []


async def test_a_large_file_is_put_in_pieces(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(MULTIPART))
    await store.put_file("big", source)
    assert await store.get("big") == source.read_bytes()
    assert await store.get_range("big", MULTIPART - 5, MULTIPART) == source.read_bytes()[-5:]


async def test_a_file_that_is_not_there_is_no_object(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await store.put_file("k", tmp_path / "absent")
    assert [key async for key in store.list("")] == []


async def test_a_store_that_is_away_says_so_soon(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        store = Store.open(f"s3://{bucket}")
        (tmp_path / "source").write_bytes(b"1")
        calls = (
            store.get("k"),
            store.get_range("k", 0, 1),
            store.put("k", b""),
            store.put_new("k", b""),
            store.put_file("k", tmp_path / "source"),
            store.exists("k"),
            store.directories(""),
            store.delete("k"),
            anext(store.list("")),
        )
        answers = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * len(calls)


async def test_a_bucket_that_does_not_exist_is_no_missing_object(bucket: str) -> None:
    store = Store.open(f"s3://not-{bucket}")
    with pytest.raises(StoreUnavailable, match="bucket does not exist"):
        await store.get("k")
    with pytest.raises(StoreUnavailable, match="bucket does not exist"):
        await store.put("k", b"")


@pytest.mark.parametrize("url", ["s3://", "ftp://host/path", "nothing"])
def test_what_is_no_store_is_refused_by_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="TASADOR_STORE_URL"):
        Store.open(url)


def test_a_process_killed_while_it_writes_leaves_nothing(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "store"
    os.mkfifo(source)
    process = subprocess.Popen([sys.executable, "-c", KILLED, root.as_uri(), str(source)], cwd=ROOT)
    with source.open("wb") as pipe:
        pipe.write(b"x" * 3_000_000)  # more than fits a pipe: most of it has been read, and written
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (root / "jobs" / "1").is_dir()
    assert [path for path in root.rglob("*") if path.is_file()] == []
