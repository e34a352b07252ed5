"""Dead letters as Redis lists them: rows that were given up. `commit.lua` adds them, together with their part."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from shared.jobs import DeadLetter
from shared.keys import Keys

_AT_ONCE = 500

Place = tuple[int, str]
"""When a letter was written, in ms, and its id: the order of the list."""


@dataclass(frozen=True)
class LetterPage:
    letters: Sequence[DeadLetter]
    next_cursor: str | None
    """None at the end."""


class DeadLetters:
    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def page(self, limit: int, cursor: str | None = None, job_id: str | None = None) -> LetterPage:
        """Return up to `limit` letters, the newest first, from behind the page that gave the cursor.

        Raises:
            ValueError: the cursor is none of ours.
        """
        found: list[Place] = []
        async for place in self._places(None if cursor is None else _read_cursor(cursor), job_id):
            if len(found) == limit:
                ms, last = found[-1]
                return LetterPage(await self.get([letter for _, letter in found]), f"{ms}~{last}")
            found.append(place)
        return LetterPage(await self.get([letter for _, letter in found]), None)

    async def all(self, job_id: str | None = None) -> Sequence[DeadLetter]:
        """Return every letter, or every one of a job, the newest first."""
        return await self.get([letter async for _, letter in self._places(None, job_id)])

    async def get(self, ids: Sequence[str]) -> Sequence[DeadLetter]:
        """Return those of the letters that are there, in the order given."""
        found: list[DeadLetter] = []
        for some in _portions(ids):
            texts: Any = await self._redis.hmget(self._keys.dead_letter_bodies, some)
            found += [DeadLetter.model_validate_json(text) for text in texts if text is not None]
        return found

    async def drop(self, ids: Sequence[str]) -> int:
        """Remove letters from the list, and return how many were there. The parts that they belong to keep them."""
        dropped = 0
        for some in _portions(ids):
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zrem(self._keys.dead_letters, *some)
                pipe.hdel(self._keys.dead_letter_bodies, *some)
                dropped += (await pipe.execute())[0]
        return dropped

    async def _places(self, before: Place | None, job_id: str | None) -> AsyncIterator[Place]:
        newest = "+inf" if before is None else str(before[0])
        offset = 0
        while True:
            page: Any = await self._redis.zrevrangebyscore(
                self._keys.dead_letters, newest, "-inf", offset, _AT_ONCE, withscores=True
            )
            for letter, ms in page:
                place = (int(ms), letter)
                if (before is None or place < before) and (job_id is None or letter.startswith(f"{job_id}:")):
                    yield place
            if len(page) < _AT_ONCE:
                return
            offset += _AT_ONCE


def _read_cursor(text: str) -> Place:
    ms, mark, letter = text.partition("~")
    if not mark or len(ms) > 15:
        raise ValueError(f"{text[:100]!r} is no cursor")
    return int(ms), letter


def _portions(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[first : first + _AT_ONCE]) for first in range(0, len(ids), _AT_ONCE)]
