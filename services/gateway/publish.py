"""Publishing telemetry so that it never stands in the way of the work: bounded in bytes, off when memory is short."""

from redis.asyncio import Redis

from services.gateway.telemetry import Publish
from shared.events import PredictionsLogged
from shared.keys import Keys

MEMORY_SHARE = 0.7
"""Above this share of the server's maxmemory telemetry is dropped: the rest is for jobs."""

_PUBLISH = """
-- stream | event, most bytes of the stream, most of maxmemory that may be in use (0 to 1) -> 1 appended, 0 no room
local used = redis.call('MEMORY', 'USAGE', KEYS[1]) or 0
if used + #ARGV[1] > tonumber(ARGV[2]) then return 0 end
local memory = redis.call('INFO', 'memory')
local limit = tonumber(string.match(memory, '\\nmaxmemory:(%d+)'))
if limit > 0 and tonumber(string.match(memory, '\\nused_memory:(%d+)')) > limit * tonumber(ARGV[3]) then return 0 end
redis.call('XADD', KEYS[1], '*', '__data__', ARGV[1])
return 1
"""


def publisher(redis: Redis, keys: Keys, max_bytes: int) -> Publish:
    """Return what appends an event to the stream of predictions, if there is room for it.

    Args:
        max_bytes: of the stream, as the server measures it.
    """
    script = redis.register_script(_PUBLISH)
    stream = keys.stream(PredictionsLogged.stream)

    async def publish(event: bytes) -> bool:
        return bool(await script(keys=[stream], args=[event, max_bytes, MEMORY_SHARE]))

    return publish
