"""Redis says who asked for the version in service, for the logs of whoever comes to serve it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.telemetry import traced
from tests.artifacts import a_champion, an_artifact
from tests.integration.test_promotion import NAMES, Place, quiet
from tests.integration.test_promotion_faults import record_of

OURS = {"request_id": "ours", "operation_id": "1"}


@pytest.fixture
async def place(tmp_path: Path, redis_url: str) -> AsyncIterator[Place]:
    place = Place(tmp_path, redis_url)
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    yield place
    await place.redis.aclose()


async def asked(place: Place) -> dict[str, str]:
    fields: Any = await place.redis.hgetall(NAMES.model("model"))
    return {name: fields.get(name, "") for name in OURS}


async def test_who_asked_for_an_epoch_stays_until_the_next_one(place: Place) -> None:
    promoter = place.promoter()
    with traced(**OURS):
        await promoter.promote("2", "better", quiet, operation="1")
    assert await asked(place) == OURS
    with traced(request_id="reloads"):
        await promoter.recover()
    assert await asked(place) == OURS
    await promoter.promote("1", "nobody asked for it by HTTP", quiet)
    assert await asked(place) == {"request_id": "", "operation_id": ""}


async def test_what_another_trainer_finishes_is_still_of_whoever_asked(place: Place) -> None:
    first = place.promoter()
    with traced(**OURS):
        record = await first._record("2", "better", "promoted", await first.ledger.champion(), operation="1")
    await first.ledger.decide(record)
    assert (await record_of(place)).asked == OURS
    await place.promoter().recover()
    assert await asked(place) == OURS
