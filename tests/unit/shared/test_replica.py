"""What a replica says of a Redis that it cannot use: once, and again when it is something else."""

import pytest
from pydantic import SecretStr
from redis.exceptions import AuthenticationError, ConnectionError, RedisError
from structlog.testing import capture_logs

from shared.broker import connect
from shared.replica import Replica
from shared.settings import CommonSettings

AWAY = ConnectionError("Connection refused")
WANTED = AuthenticationError("Authentication required.", status_code="NOAUTH")
WRONG = AuthenticationError("invalid username-password pair", status_code="WRONGPASS")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([AWAY, AWAY, AWAY], ["redis is away"]),
        ([WANTED, WANTED, WRONG], ["redis refuses us", "redis refuses us"]),
        ([AWAY, WRONG, AWAY], ["redis is away", "redis refuses us", "redis is away"]),
        ([AWAY, None, AWAY], ["redis is away", "redis is away"]),
    ],
)
async def test_every_change_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, found: list[RedisError | None], said: list[str]
) -> None:
    redis = connect(CommonSettings(redis_url=SecretStr("redis://nowhere")))
    replica, answers = Replica("scorer", CommonSettings(), redis), iter(found)

    async def answer(*_: object) -> None:
        if error := next(answers):
            raise error

    monkeypatch.setattr(redis, "eval", answer)
    with capture_logs() as logged:
        for error in found:
            await replica.announce()
            assert replica.redis_up is (error is None)
            assert bool(replica.refusal) is isinstance(error, AuthenticationError)
    assert [line["event"] for line in logged] == said
