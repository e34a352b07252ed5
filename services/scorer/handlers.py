"""New entries, through FastStream: one at a time, acknowledged by the commit script and by nothing else."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from faststream import AckPolicy
from faststream.redis import RedisBroker, StreamSub
from faststream.redis.prometheus import RedisPrometheusMiddleware
from prometheus_client import CollectorRegistry
from redis.exceptions import ResponseError

from services.scorer.settings import ScorerSettings
from services.scorer.upkeep import Upkeep
from services.scorer.work import Worker
from shared.keys import SCORERS_GROUP, Keys
from shared.scripts import Held
from shared.telemetry import get_logger

POLL_MS = 500  # how long one XREADGROUP waits; an entry ends the wait at once

log = get_logger(__name__)


def create_broker(settings: ScorerSettings, registry: CollectorRegistry) -> RedisBroker:
    return RedisBroker(
        settings.redis_url.get_secret_value(),
        ack_policy=AckPolicy.MANUAL,
        apply_types=False,  # the handler takes the entry as it is
        graceful_timeout=settings.scorer_drain_seconds,
        logger=logging.getLogger("broker"),  # FastStream would bring a renderer of its own
        log_level=logging.DEBUG,
        middlewares=[RedisPrometheusMiddleware(registry=registry, app_name="scorer")],
    )


def subscribe(broker: RedisBroker, keys: Keys, consumer: str, worker: Worker, upkeep: Upkeep) -> Any:
    """Register the handler of new entries and return its subscriber.

    `max_records` is 1: more would wait here while other scorers have nothing to do.
    """
    new_entries = StreamSub(
        keys.chunks, group=SCORERS_GROUP, consumer=consumer, max_records=1, polling_interval=POLL_MS
    )
    subscriber: Any = broker.subscriber(stream=new_entries, parser=_unparsed, decoder=_entry)

    async def on_chunk_fed(entry: tuple[str, Mapping[str, str]]) -> None:
        entry_id, fields = entry
        try:
            held = Held.of(consumer, entry_id, fields)
        except (KeyError, ValueError):
            log.error("deleting an entry that is none of ours", entry=entry_id, fields=dict(fields))
            await upkeep.discard(entry_id)
        else:
            await worker.process_in_turn(held)

    subscriber(on_chunk_fed)
    return subscriber


def start_without_memory(subscriber: Any) -> None:
    """Let a subscriber start on a server whose memory is full. Call it when the broker has connected.

    FastStream wants to create the group whenever it starts, which such a server refuses even if the group exists. Then
    nobody who starts would ever work on what fills it. The group is there: see `shared.broker.ensure_group`.
    """

    async def create(**_: Any) -> None:
        raise ResponseError("the group already exists")

    subscriber._client.xgroup_create = create


async def _unparsed(raw: dict[str, Any], original: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
    """Build FastStream's message without its body: our fields are no JSON."""
    message = await original({**raw, "data": {}})
    message.raw_message = raw
    return message


async def _entry(message: Any) -> tuple[str, Mapping[str, str]]:
    raw = message.raw_message
    fields = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in raw["data"].items()}
    return raw["message_ids"][0].decode(), fields
