"""What tests of jobs share: a gateway to send requests to, scorers by hand, and scorers as processes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.scripts import JobQueue
from shared.store import Store
from tests.integration.by_hand import Gateway, HandScorer, gateway
from tests.scorers import Fleet, Jobs


@pytest.fixture
async def gate(redis_url: str, store: Store, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway; the store has to hold a champion."""
    async with gateway(redis_url, store, tmp_path, gateway_chunk_rows=10) as running:
        yield running


@pytest.fixture
def hand(redis: Redis, store: Store) -> HandScorer:
    return HandScorer(redis, store)


@pytest.fixture
def fleet(tmp_path: Path, redis_url: str, store: Store) -> Iterator[Fleet]:
    with Fleet(tmp_path, redis_url, store) as fleet:
        yield fleet


@pytest.fixture
async def jobs(queue: JobQueue, store: Store) -> Jobs:
    return await Jobs.of(queue, store)
