"""Appending events to streams that are bounded in bytes, so that memory is left for jobs."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from redis.asyncio import Redis

from services.gateway.telemetry import Publish
from shared.events import PredictionsLogged
from shared.keys import Keys

MEMORY_SHARE = 0.7
"""Above this share of the server's maxmemory nothing is appended: the rest is for jobs."""
SAMPLED = 5
"""Blocks of a stream that the server measures to estimate the whole: right where all entries are of a kind."""
ALL = 0

Appended = Literal["ok", "full", "short"]
"""`full`: the stream would hold too much; `short`: the server does. Then nothing was written."""
Append = Callable[[Sequence[bytes]], Awaitable[Appended]]

_APPEND = """
-- stream | most bytes of the stream, blocks of it to measure, most of maxmemory that may be in use (0 to 1), events
-- -> ok: all are appended; full, short: none is
local bytes = redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', ARGV[2]) or 0
for i = 4, #ARGV do bytes = bytes + #ARGV[i] end
if bytes > tonumber(ARGV[1]) then return 'full' end
local memory = redis.call('INFO', 'memory')
local limit = tonumber(string.match(memory, '\\nmaxmemory:(%d+)'))
if limit > 0 and tonumber(string.match(memory, '\\nused_memory:(%d+)')) > limit * tonumber(ARGV[3]) then
  return 'short'
end
for i = 4, #ARGV do redis.call('XADD', KEYS[1], '*', '__data__', ARGV[i]) end
return 'ok'
"""


def appender(redis: Redis, stream: str, max_bytes: int, blocks: int) -> Append:
    """Return what appends events (JSON) to a stream, all of them or none.

    Args:
        max_bytes: of the stream, as the server measures it.
        blocks: of the stream that it measures for that.
    """
    script = redis.register_script(_APPEND)

    async def append(events: Sequence[bytes]) -> Appended:
        answer: Appended = await script(keys=[stream], args=[max_bytes, blocks, MEMORY_SHARE, *events])
        return answer

    return append


def publisher(redis: Redis, keys: Keys, max_bytes: int) -> Publish:
    """Return what appends an event to the stream of predictions, if there is room for it."""
    append = appender(redis, keys.stream(PredictionsLogged.stream), max_bytes, SAMPLED)

    async def publish(event: bytes) -> bool:
        return await append([event]) == "ok"

    return publish
