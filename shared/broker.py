"""Connections to Redis, and the check that the server can keep what we promise."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from shared.settings import CommonSettings

MINIMUM_VERSION = (7, 0)
UNAVAILABLE = (RedisConnectionError, RedisTimeoutError, OSError)
"""Raised while the server is away: nobody's fault, try again later."""

_PASSWORD = "TASADOR_REDIS_PASSWORD (or TASADOR_REDIS_PASSWORD_FILE)"
_CREATE_GROUP = """#!lua flags=allow-oom
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
"""


def connect(settings: CommonSettings) -> Redis:
    """Return a client that does not connect before its first command.

    It never retries by itself: a retried write whose answer was lost is a second write. Whoever can repeat a command
    safely does so himself. Timeouts bound every call to 5 s, connecting to 2 s. With maintenance notifications, which
    are on by default, it would hand out connections that a server closed when it ended.
    """
    return Redis.from_url(
        settings.redis_url.get_secret_value(),
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        socket_timeout=5,
        socket_connect_timeout=2,
        client_name="tasador",
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


async def check_server(redis: Redis) -> list[str]:
    """Return what is wrong with the server's version and configuration, in words that say how to mend it."""
    info: Any = await redis.info("server")
    # Valkey reports the Redis version it is compatible with under the same name.
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    problems = []
    if version < MINIMUM_VERSION:
        problems.append(f"server speaks Redis {info['redis_version']}; 7.0 or Valkey 8 is the minimum")
    try:
        found: Any = await redis.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
    except ResponseError:
        return [*problems, "CONFIG GET is not allowed here: durability and eviction could not be checked"]
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    problems += [
        f"{name} is {found.get(name)}; set it to {value}" for name, value in wanted.items() if found.get(name) != value
    ]
    if found.get("maxmemory") == "0":
        problems.append("maxmemory is not set: without it nothing bounds the server's memory")
    return problems


def refusal(error: BaseException) -> str:
    """Return why the server does not let us in, in words that say how to mend it; empty when it is away, or the like.

    To clients a refusal is one more failed connection, and like any other it is tried again: somebody may be about to
    set the server's password.
    """
    if isinstance(error, NoPermissionError):
        return f"Redis denies its user what we need: {error}"
    if not isinstance(error, AuthenticationError):
        return ""
    if error.status_code == "NOAUTH":
        return f"Redis wants a password: set {_PASSWORD}"
    return f"Redis refuses the password: correct {_PASSWORD}, or the user in TASADOR_REDIS_URL"


async def ensure_group(redis: Redis, stream: str, group: str) -> None:
    """Create a consumer group that starts at the beginning of its stream, if it does not exist.

    FastStream would create it at `$`, and entries added before the first consumer would never be delivered. A server
    whose memory is full refuses the plain command even for a group that exists; it must not keep consumers from work.
    """
    await redis.eval(_CREATE_GROUP, 1, stream, group)


async def is_up(redis: Redis) -> bool:
    try:
        await redis.ping()
    except (RedisError, OSError):
        return False
    return True
