"""What can be done with dead letters, whatever the transport."""

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from services.gateway.dead_letters.originals import InputGone, Original, Originals
from services.gateway.dead_letters.redrive import Redrive
from services.gateway.jobs.acceptance import Acceptance
from services.gateway.jobs.versions import Versions
from services.gateway.problems import ErrorItem, Problem
from services.gateway.settings import GatewaySettings
from shared.dead_letters import DeadLetters, LetterPage
from shared.jobs import DeadLetter, JobStatus
from shared.keys import Keys
from shared.store import Store
from shared.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Opened:
    """A letter with its rows; `original` is None where they can no longer be read, for the reason in `why`."""

    letter: DeadLetter
    original: Original | None
    why: str = ""


class Letters:
    """The dead letters as one gateway serves them."""

    def __init__(
        self, settings: GatewaySettings, store: Store, redis: Redis, *, versions: Versions, acceptance: Acceptance
    ) -> None:
        self._store = store
        self._versions = versions
        self._letters = DeadLetters(redis, Keys(settings.tenant))
        self._redrive = Redrive(settings, store, redis, self._letters, acceptance)

    async def page(self, limit: int, cursor: str | None, job_id: str | None) -> LetterPage:
        """Raises Problem: the cursor is none of ours."""
        try:
            return await self._letters.page(limit, cursor, job_id)
        except ValueError:
            error = ErrorItem("#/query/cursor", "invalid", "expected the next_cursor of an earlier answer")
            raise Problem("invalid-parameter", f"cursor: {error.detail}", errors=[error]) from None

    async def open(self, letter_id: str) -> Opened:
        """Return a letter with its rows. Raises Problem."""
        found = await self._letters.get([letter_id])
        if not found:
            raise _not_found(letter_id)
        try:
            return Opened(found[0], await Originals(self._store).one(found[0]))
        except InputGone as gone:
            return Opened(found[0], None, str(gone))

    async def drop(self, letter_id: str) -> None:
        """Raises Problem: there is no such letter."""
        if not await self._letters.drop([letter_id]):
            raise _not_found(letter_id)
        log.info("dead letters dropped", job_id=letter_id.rpartition(":")[0], letters=1)

    async def drop_all(self, job_id: str) -> int:
        """Drop all letters of a job, and return how many there were."""
        dropped = await self._letters.drop([letter.id for letter in await self._letters.all(job_id)])
        log.info("dead letters dropped", job_id=job_id[:100], letters=dropped)
        return dropped

    async def redrive(self, ids: Sequence[str], version: str | None, request_id: str) -> JobStatus:
        """Score the rows of these letters once more, by a version or else the champion. Raises Problem."""
        return await self._redrive.start(list(dict.fromkeys(ids)), await self._versions.get(version), request_id)

    async def redrive_all(self, job_id: str | None, version: str | None, request_id: str) -> JobStatus:
        """As `redrive`, with every letter, or every one of a job. Raises Problem: there is none."""
        letters = await self._letters.all(job_id)
        if not letters:
            of = f" of job {job_id[:100]!r}" if job_id else ""
            raise Problem("dead-letter-not-found", f"there are no dead letters{of}")
        return await self.redrive([letter.id for letter in letters], version, request_id)


def _not_found(letter_id: str) -> Problem:
    return Problem("dead-letter-not-found", f"there is no dead letter {letter_id[:100]!r}")
