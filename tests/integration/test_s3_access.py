"""Credentials that a server checks, and the bucket that is made where there is none."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from secrets import token_hex

import pytest

from shared import credentials
from shared.bucket import BucketMissing, ensure_bucket
from shared.settings import ROOT
from shared.store import Store, StoreUnavailable
from tests.processes import ServiceProcess
from tests.s3 import S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server().running() as server:
        yield server


@pytest.fixture
def name(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that is not there; obstore knows the server."""
    for variable, value in server.environment.items():
        monkeypatch.setenv(variable, value)
    return f"bucket-{token_hex(4)}"


def buckets(server: S3Server) -> list[str]:
    with server.client("s3") as client:
        return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


async def made(**settings: str) -> tuple[int | None, str]:
    """Run the command; return its exit code and what it said."""
    ours = {f"TASADOR_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared.bucket", cwd=ROOT, env=os.environ | ours, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_the_command_makes_the_bucket_once(server: S3Server, name: str) -> None:
    url = f"s3://{name}/some where"
    assert await made(store_url=url) == (0, f"bucket: {url} was made\n")
    assert name in buckets(server)
    store = Store.open(url)
    await store.put("key", b"value")
    assert await made(store_url=url, gateway_port="80") == (0, f"bucket: {url} is there\n")
    assert await store.get("key") == b"value"


@pytest.mark.parametrize("url", ["file:///store", "gs://bucket", "s3://"])
async def test_what_is_no_bucket_is_a_wrong_setting(url: str, name: str) -> None:
    code, said = await made(store_url=url)
    assert (code, said) == (2, f"bucket: TASADOR_STORE_URL: {url} names no bucket that could be made, as s3://… does\n")


def test_it_is_made_in_the_region_that_is_set(server: S3Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert ensure_bucket(f"s3://{name}")
    with server.client("s3") as client:
        assert client.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"


async def test_it_waits_for_a_server_that_starts(server: S3Server, name: str) -> None:
    server.stop()
    try:
        making = asyncio.create_task(asyncio.to_thread(ensure_bucket, f"s3://{name}"))
        done, _ = await asyncio.wait({making}, timeout=1)
        assert not done
    finally:
        server.start()
    assert await making


def test_a_server_that_never_comes_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(BucketMissing, match=r"did not answer within 0.1 s: .*Connection refused"):
            ensure_bucket(f"s3://{name}", patience=0.1)


def test_a_name_that_the_server_refuses_is_told_with_its_reason(name: str) -> None:
    with pytest.raises(BucketMissing, match=r"bucket ab could not be made \(400 InvalidBucketName: The specified"):
        ensure_bucket("s3://ab")


async def test_a_secret_from_a_file_opens_the_store_and_may_be_replaced(
    server: S3Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_bucket(f"s3://{name}")
    key, secret = server.new_user()
    for variable, value in {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "wrong"}.items():
        (tmp_path / variable).write_text(value + "\n")
        monkeypatch.delenv(variable)
        monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / variable))
    monkeypatch.setattr(credentials, "REREAD", timedelta(0))
    store = Store.open(f"s3://{name}")
    with server.checking_signatures():
        with pytest.raises(StoreUnavailable, match="403 Forbidden"):
            await store.put("key", b"value")
        (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text(secret)
        await store.put("key", b"value")
        (tmp_path / "AWS_SECRET_ACCESS_KEY").unlink()
        with pytest.raises(StoreUnavailable, match="AWS_SECRET_ACCESS_KEY_FILE: cannot read"):
            await store.put("key", b"value")


@pytest.mark.parametrize("service", ["gateway", "scorer", "trainer", "monitor"])
def test_a_service_refuses_a_file_of_credentials_that_is_not_there(
    service: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN_FILE", "/nowhere")
    settings = {"store_url": f"s3://{name}", "state_dir": tmp_path, "model_name": "model", f"{service}_port": 0}
    with ServiceProcess(service, tmp_path, **settings) as process:
        assert process.wait() == 2
    assert f"{service}: AWS_SESSION_TOKEN_FILE: cannot read /nowhere" in process.log.read_text()
