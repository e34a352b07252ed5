from pathlib import Path

from redis.asyncio import Redis

from services.gateway.__main__ import build
from services.gateway.metrics import GatewayCollector, registry
from services.gateway.settings import GatewaySettings
from services.gateway.watch import Surroundings
from shared.follower import Serving
from shared.replica import Replica
from shared.store import Store
from tests.unit.gateway.fakes import a_model


def test_a_gateway_that_is_behind_shows_both_epochs(tmp_path: Path) -> None:
    settings, redis = GatewaySettings(state_dir=tmp_path), Redis()  # nothing connects
    parts = build(settings, redis, Store.open(tmp_path.as_uri()), Replica("gateway", settings, redis))
    read = registry(GatewayCollector(parts.tally, parts.follower, parts.logger, parts.watch)).get_sample_value
    assert (read("tasador_gateway_model_epoch"), read("tasador_gateway_desired_epoch")) == (None, None)

    parts.follower.current = Serving(a_model(), 2)
    parts.watch.seen = Surroundings(redis_up=True, scorers=1, backlog_rows=0, desired_epoch=3)
    assert (read("tasador_gateway_model_epoch"), read("tasador_gateway_desired_epoch")) == (2, 3)

    parts.watch.seen = Surroundings()  # Redis has gone away, and what it said last may be long out of date
    assert (read("tasador_gateway_model_epoch"), read("tasador_gateway_desired_epoch")) == (2, None)
