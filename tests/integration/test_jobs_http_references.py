"""Input by reference: from where it may be taken, and that nothing else can be reached."""

import gzip
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from shared.settings import SettingsInvalid
from shared.store import Store
from tests.integration.by_hand import Gateway, a_csv, gateway, problem, ready_store
from tests.integration.gateway import some_settings
from tests.s3 import S3Server


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """The allowed directory, with a secret beside it."""
    directory = tmp_path / "in puts"
    directory.mkdir()
    (tmp_path / "in puts-not" / "deeper").mkdir(parents=True)
    for secret in ("secret.csv", "in puts-not/secret.csv"):
        (tmp_path / secret).write_bytes(a_csv(7))
    return directory


@pytest.fixture
async def gate(redis_url: str, store: Store, tmp_path: Path, inputs: Path) -> AsyncIterator[Gateway]:
    limits = {"gateway_max_job_bytes": 10_000, "gateway_input_prefixes": [inputs.as_uri(), "s3://elsewhere/in"]}
    async with gateway(redis_url, store, tmp_path, **limits) as running:
        yield running


async def refer(gate: Gateway, url: str, **more: str) -> httpx.Response:
    return await gate.submit(json.dumps({"input": url} | more).encode(), "application/json")


async def total(gate: Gateway, url: str, **more: str) -> int:
    answer = await refer(gate, url, **more)
    assert answer.status_code == 202, answer.text
    rows: int = answer.json()["rows"]["total"]
    return rows


def files() -> dict[str, tuple[bytes, str | None]]:
    """Return names with what lies there, and the format that has to be named."""
    lines = b'{"count": 1}\n{"count": 2}\n{"count": 3}\n'
    sink = pa.BufferOutputStream()
    table = pa.table({"count": [1.0, 2.0, 3.0]})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return {
        "table.csv": (a_csv(3), None),
        "Table.CSV.GZ": (gzip.compress(a_csv(3)), None),
        "table.jsonl.zst": (pa.Codec("zstd").compress(lines).to_pybytes(), None),
        "table.arrow": (sink.getvalue().to_pybytes(), None),
        "year=2026/a table, no. 1.ndjson": (lines, None),
        "unnamed": (a_csv(3), "csv"),
        "unnamed.gz": (gzip.compress(a_csv(3)), "csv"),
        "misnamed.json": (a_csv(3), "csv"),
    }


@pytest.mark.parametrize("name", files())
async def test_a_file_is_read_as_its_name_says(gate: Gateway, inputs: Path, name: str) -> None:
    data, kind = files()[name]
    (inputs / name).parent.mkdir(exist_ok=True)
    (inputs / name).write_bytes(data)
    assert await total(gate, (inputs / name).as_uri(), **({"format": kind} if kind else {})) == 3


async def test_nothing_outside_the_prefixes_can_be_reached(gate: Gateway, inputs: Path, tmp_path: Path) -> None:
    here = inputs.as_uri()
    (inputs / "link.csv").symlink_to(tmp_path / "secret.csv")
    (inputs / "way").symlink_to(tmp_path)
    (inputs / "inside").mkdir()
    for url in (
        *(f"{here}/../secret.csv", f"{here}/%2e%2e/secret.csv", f"{here}/..%2fsecret.csv", f"{here}/inside/../a.csv"),
        *(f"{here}/link.csv", f"{here}/way/secret.csv", f"{here}/./a.csv", f"{here}//a.csv", f"{here}/", here),
        *(f"{here}-not/secret.csv", f"{here}/a%00.csv", f"{here}/a\n.csv", (tmp_path / "secret.csv").as_uri()),
        *(str(inputs / "a.csv"), "file:a.csv", "", "http://localhost/a.csv", "s3://elsewhere/inside/a.csv"),
        *("s3://elsewhere/in/../a.csv", "s3://elsewhere", "S3://elsewhere/in/a.csv", "s3://else/in/a.csv"),
    ):
        answer = await refer(gate, url, format="csv")
        assert problem(answer) == "403 input-not-allowed", url
        assert "TASADOR_GATEWAY_INPUT_PREFIXES" in answer.json()["detail"]
    (inputs / "within.csv").symlink_to(inputs / "real.csv")
    (inputs / "real.csv").write_bytes(a_csv(2))
    assert await total(gate, f"{here}/within.csv") == 2


async def test_nowhere_is_allowed_by_default(redis_url: str, store: Store, tmp_path: Path, inputs: Path) -> None:
    async with gateway(redis_url, store, tmp_path) as gate:
        assert problem(await refer(gate, inputs.as_uri() + "/a.csv")) == "403 input-not-allowed"


async def test_what_cannot_be_read_is_said(gate: Gateway, inputs: Path, store: Store) -> None:
    (inputs / "directory.csv").mkdir()
    os.mkfifo(inputs / "pipe.csv")
    for name in ("nothing.csv", "directory.csv", "pipe.csv", "x" * 300 + ".csv"):
        assert problem(await refer(gate, f"{inputs.as_uri()}/{name}")) == "422 input-unreadable", name
    assert [key async for key in store.list("jobs")] == []


@pytest.mark.parametrize(
    "body",
    [
        {"input": 1},
        {"input": "file:///a.csv", "instances": []},
        {"input": "file:///a.csv", "format": "xlsx"},
        {"input": "file:///a"},
        {"input": "file:///a.gz"},
    ],
)
async def test_a_reference_that_is_none_is_refused(gate: Gateway, body: dict[str, Any]) -> None:
    assert problem(await gate.submit(json.dumps(body).encode(), "application/json")) == "422 invalid-body"


async def test_limits_hold_for_what_is_fetched(gate: Gateway, inputs: Path) -> None:
    (inputs / "large.csv").write_bytes(a_csv(1000))
    (inputs / "bomb.csv.gz").write_bytes(gzip.compress(a_csv(1000)))
    for name in ("large.csv", "bomb.csv.gz"):
        assert problem(await refer(gate, f"{inputs.as_uri()}/{name}")) == "413 payload-too-large"


async def test_an_idempotency_key_means_the_reference(gate: Gateway, inputs: Path) -> None:
    (inputs / "a.csv").write_bytes(a_csv(2))
    body = json.dumps({"input": f"{inputs.as_uri()}/a.csv"}).encode()
    first = await gate.submitted(body, "application/json", Idempotency_Key="k")
    (inputs / "a.csv").write_bytes(a_csv(3))
    assert (await gate.submitted(body, "application/json", Idempotency_Key="k"))["id"] == first["id"]


@pytest.mark.parametrize("prefix", ["data", "/data", "file:data", "s3:", "s3:///x", "s3://bucket/?x=1"])
def test_a_prefix_that_means_nothing_is_refused(redis_url: str, tmp_path: Path, prefix: str) -> None:
    with pytest.raises(SettingsInvalid, match="TASADOR_GATEWAY_INPUT_PREFIXES"):
        some_settings(redis_url, Store.open(tmp_path.as_uri()), gateway_input_prefixes=prefix)


def test_prefixes_are_separated_by_commas(redis_url: str, tmp_path: Path) -> None:
    loaded = some_settings(
        redis_url, Store.open(tmp_path.as_uri()), gateway_input_prefixes="s3://bucket, file:///data/in/"
    )
    assert loaded.gateway_input_prefixes == ("s3://bucket/", "file:///data/in/")


# --- over the network


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with S3Server().running() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server.new_bucket()


async def test_objects_are_fetched_in_pieces(
    redis_url: str, store: Store, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.store.PIECE_BYTES", 1000)
    remote = Store.open(f"s3://{bucket}")
    await remote.put("in/table.csv", a_csv(300))
    await remote.put("in/100%25.csv", a_csv(2))
    await remote.put("in/empty.csv", b"")
    await remote.put("secret.csv", a_csv(2))
    prefix = f"s3://{bucket}/in/"
    async with gateway(redis_url, store, tmp_path, gateway_input_prefixes=[prefix]) as gate:
        assert await total(gate, f"{prefix}table.csv") == 300
        assert await total(gate, f"{prefix}100%25.csv") == 2, "a name is taken as it is written"
        assert problem(await refer(gate, f"{prefix}empty.csv")) == "422 empty-table"
        assert problem(await refer(gate, f"{prefix}nothing.csv")) == "422 input-unreadable"
        for name in ("..%2Fsecret.csv", "%2e%2e/secret.csv"):
            assert problem(await refer(gate, f"{prefix}{name}")) == "422 input-unreadable", "literally such a name"
