"""The report of a monitor that runs, as a browser gets it."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis.asyncio import Redis

from shared import artifact
from shared.artifact import CONTENT, GOLDEN, ONNX, PROFILE, SIGNATURE
from shared.keys import Keys
from shared.profile import build_profile
from shared.signature import Feature, Signature, Target
from shared.store import Store
from tests.artifacts import a_champion
from tests.integration.test_monitor import Monitors, get, total
from tests.redis_server import RedisServer
from tests.unit.monitor.builders import Rows, an_event
from tests.unit.monitor.test_report_page import Page
from tests.waiting import eventually

HOUR = 3600.0
EVIL = "<script>alert(1)</script>\"' onload=x"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@pytest.fixture
async def monitors(tmp_path: Path, redis_server: RedisServer, keys: Keys) -> AsyncIterator[Monitors]:
    store = Store.open((tmp_path / "state" / "store").as_uri())
    await a_champion(store)
    found = await artifact.fetch(store, "model", "1")
    async with Redis.from_url(redis_server.url, decode_responses=True) as redis:
        yield Monitors(tmp_path, redis_server, redis, store, found.signature, found.profile, keys)


async def test_a_report_shows_what_came_in_beside_what_was_trained_on(monitors: Monitors) -> None:
    now = time.time()
    async with monitors.running() as client:
        await monitors.send(
            monitors.event(900, 0, 1, time=[now - 5 * HOUR] * 900),
            monitors.event(900, 900, 2, shift=6.0, mode=["batch"] * 900),
            monitors.chunk(0, 300),
        )
        await eventually(lambda: _counted(client, 2100))
        found = await _page(client, "/report")
        drift = await get(client, "/drift")
        by_window = {window: await _page(client, f"/report?window={window}") for window in ("5m", "24h", "7d")}
    columns = [("prediction", drift["prediction"])]
    columns += sorted(drift["features"].items(), key=_rank)
    expected = [f"Distribution of {name} in 1200 rows" for name, _ in columns]
    assert [each[: len(start)] for each, start in zip(_pictures(found), expected, strict=False)] == expected
    assert f"{drift['features']['length']['psi']:.3g}" in found.text
    for heading in ("Single predictions", "Batches", "Jobs"):
        assert heading in found.text
    assert "2,100" in found.text
    rows = {window: _pictures(page)[0].split(" in ")[1].split()[0] for window, page in by_window.items()}
    assert rows == {"5m": "1200", "24h": "2100", "7d": "2100"}
    assert _pictures(found)[len(columns)].startswith("Drift over time of 6 columns")


async def test_a_report_loads_nothing_and_says_so(monitors: Monitors) -> None:
    async with monitors.running() as client:
        answer = await client.get("/report")
        refused = await client.get("/report", params={"window": "99d"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert "//" not in answer.text.replace("</", "")
    assert "No rows in this time" in answer.text
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/query/window")


async def test_a_report_tells_of_alerts_and_of_what_training_promised(monitors: Monitors) -> None:
    async with monitors.running(monitor_evaluate_seconds=0.5) as client:
        await monitors.send(monitors.event(1500, 0, 1, shift=6.0))
        alert = await eventually(lambda: _fired(client, "length"))
        found = await _page(client, "/report")
        training = (await get(client, "/quality"))["versions"]["1"]["training"]["test"]
    assert alert is not None
    assert alert["reason"] in found.text.split("Alerts")[-1].split("Distributions")[0]
    assert "Nothing yet of what really happened" in found.text
    assert f"{training['mae']:.3g}" in found.text.split("Version 1")[1]


async def test_a_report_without_a_champion_says_so(monitors: Monitors) -> None:
    async with monitors.running(model_name="another") as client:
        found = await _page(client, "/report")
    assert "no version in service" in found.text
    assert "another has no champion yet" in found.text


async def test_without_redis_there_is_no_report(monitors: Monitors) -> None:
    async with monitors.running() as client:
        monitors.server.kill()
        refused = await client.get("/report")
        monitors.server.start()
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/redis-unavailable")


@pytest.mark.parametrize("features", [1, 200])
async def test_names_of_features_and_categories_are_never_markup(monitors: Monitors, features: int) -> None:
    x, signature = _hostile(features)
    await _serve(monitors, x, signature)
    async with monitors.running() as client:
        await monitors.send(an_event(x[:1000], [1.0] * 1000, model_version="2"))
        await eventually(lambda: _counted(client, 1000))
        page = (await client.get("/report")).text
    found = Page(page)
    assert EVIL in found.text
    assert "script" not in {tag for tag, _ in found.tags}
    assert not [name for _, a in found.tags for name in a if name.startswith("on")]
    assert len(page) < 400_000


def _hostile(features: int) -> tuple[Rows, Signature]:
    """A category and numbers whose names a browser must not take for anything else, and rows of them."""
    rng = np.random.default_rng(3)
    columns = [rng.integers(0, 2, 1000).astype(float), *(rng.normal(0, 1, 1000) for _ in range(features - 1))]
    grade = Feature(name=EVIL, kind="categorical", nullable=True, categories=(EVIL, "b"), example="b")
    numbers = [Feature(name=f"{EVIL}{i}", kind="numeric", nullable=True, example=0.0) for i in range(features - 1)]
    return np.column_stack(columns), Signature(target=Target(name=EVIL), features=(grade, *numbers))


async def _serve(monitors: Monitors, x: Rows, signature: Signature) -> None:
    """Make a version of these rows the champion; its graph is never run here."""
    before = await artifact.fetch(monitors.store, "model", "1")
    directory = monitors.directory / "version"
    directory.mkdir()
    (directory / ONNX).write_bytes(before.onnx)
    profile = build_profile(signature, x, np.linspace(0, 1, 100))
    for file, document in {SIGNATURE: signature, PROFILE: profile, GOLDEN: before.golden}.items():
        (directory / file).write_text(document.model_dump_json())
    assert set(CONTENT) == {path.name for path in directory.iterdir()}
    fields = before.manifest.model_dump(exclude={"files", "tolerance"})
    artifact.seal(directory, {**fields, "version": "2"})
    digest = await artifact.upload(monitors.store, directory)
    await artifact.write_champion(monitors.store, "model", artifact.Champion(version="2", epoch=2, digest=digest))


async def _page(client: httpx.AsyncClient, path: str) -> Page:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


def _rank(column: tuple[str, dict[str, Any]]) -> tuple[bool, bool, float]:
    _, found = column
    return not found["drifted"], not found["suspect"], -found["effect"]


async def _fired(client: httpx.AsyncClient, subject: str) -> dict[str, Any] | None:
    found = (await get(client, "/alerts?state=firing"))["alerts"]
    return next((alert for alert in found if alert["subject"] == subject), None)


def _pictures(page: Page) -> list[str]:
    """Return what each picture says that it shows."""
    return [attributes["aria-label"] or "" for tag, attributes in page.tags if tag == "svg"]


async def _counted(client: httpx.AsyncClient, rows: int) -> bool:
    return await total(client) == rows
