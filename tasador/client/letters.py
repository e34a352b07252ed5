"""The client's methods for dead letters: rows that were given up."""

from collections.abc import Sequence

from tasador.client.answers import DeadLetterPage, Dropped, Job, OpenedDeadLetter
from tasador.client.base import Connected, as_json, given

_REDRIVE_SECONDS = 600.0
"""The rows of 10,000 letters may lie in as many inputs."""


class DeadLetters(Connected):
    def dead_letters(self, *, job: str | None = None, limit: int = 50, cursor: str | None = None) -> DeadLetterPage:
        """Return a page of at most 200 dead letters, the newest first: of one job, or of all."""
        return self._http.read(
            DeadLetterPage, "GET", "/dead-letters", params=given(job=job, limit=limit, cursor=cursor)
        )

    def dead_letter(self, letter_id: str) -> OpenedDeadLetter:
        """Return a dead letter with the values of its rows. Raises NotFound."""
        return self._http.read(OpenedDeadLetter, "GET", f"/dead-letters/{letter_id}")

    def drop_dead_letter(self, letter_id: str) -> None:
        """Take a dead letter off the list; in the job's results the row stays an error. Raises NotFound."""
        self._http.send("DELETE", f"/dead-letters/{letter_id}")

    def drop_dead_letters(self, job: str) -> int:
        """Drop all dead letters of a job, and return how many there were."""
        return self._http.read(Dropped, "DELETE", "/dead-letters", params={"job": job}).dropped

    def redrive(
        self, ids: Sequence[str] = (), *, job: str | None = None, all: bool = False, version: str | None = None
    ) -> Job:
        """Score the rows of dead letters once more, as a new job: of those named, of a job, or of all.

        Its results carry the columns `job` and `row`, which say where a row comes from. Repeating a call is safe.

        Args:
            version: that scores them; default the champion.

        Raises:
            NotFound: one of them, or any at all, is not there.
            Gone: the input of their job was removed.
        """
        order = {"ids": list(ids)} if ids else given(job=job, all=all or None)
        return self._http.read(
            Job,
            "POST",
            "/dead-letters/redrive",
            params=given(version=version),
            timeout=self._longer(_REDRIVE_SECONDS),
            **as_json(order),
        )
