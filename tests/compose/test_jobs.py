"""A job of 50,000 rows, while the scorers that work on it become more, fewer and none, and Redis dies under them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasador.client import Client
from tests.compose.rows import predicted_at_once, some_rows, write_csv
from tests.compose.stack import ComposeStack

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600, func_only=True)]

ROWS = 50_000
RECLAIMED = "tasador_scorer_reclaimed_total"


class AtWork:
    """A job, and that it is being worked on before something is done to the stack and after it."""

    def __init__(self, stack: ComposeStack, client: Client, job_id: str) -> None:
        self._stack = stack
        self._client = client
        self._job_id = job_id

    def moves_on(self, rows: int = 1) -> None:
        """Return when so many more rows are done, and some are not."""
        before = self._stack.wait(self._done)
        self._stack.wait(lambda: self._done() >= before + rows)

    @contextmanager
    def hit(self) -> Iterator[None]:
        """Do something to the stack in the middle of the job."""
        self.moves_on()
        yield
        self.moves_on()

    def _done(self) -> int:
        job = self._client.job(self._job_id)
        if job.ended:
            pytest.fail(f"the job is {job.state} already: what was done to the stack did not meet it at work")
        return job.rows.done


def test_no_row_is_lost_doubled_or_moved_though_scorers_come_and_go_and_redis_dies(
    stack: ComposeStack, client: Client, tmp_path: Path
) -> None:
    rows = some_rows(ROWS)
    table = write_csv(tmp_path / "rows.csv", rows)
    scale(stack, client, 1)
    job_id = client.submit(table).id
    job = AtWork(stack, client, job_id)
    job.moves_on(1_000)

    with job.hit():
        scale(stack, client, 4)
    first, second, *_ = stack.ps("scorer")

    with job.hit():
        stack.kill(first)
        stack.wait(lambda: reclaimed(stack, client) > 0)  # what it had in hand is done by another
    assert stack.now(first).state == "exited", "whoever kills a container by hand does not want it back"

    with job.hit():
        stack.crash(second)
        stack.wait(lambda: stack.now(second).restarts == 1)

    valkey = stack.only("valkey")
    with job.hit():
        stack.kill(valkey)
        assert predicted_at_once(client, rows[:10])
        stack.start(valkey)

    with job.hit():
        stack.crash(valkey)
        stack.wait(lambda: stack.now(valkey).restarts == 1)

    with job.hit():
        stack.start(first)
        scale(stack, client, 2)

    ended = client.wait(job_id, timeout=400)
    assert (ended.state, ended.rows.total, ended.rows.done, ended.rows.failed) == ("completed", ROWS, ROWS, 0)
    results = list(client.results(job_id))
    assert [result.index for result in results] == list(range(ROWS))
    assert [result.prediction for result in results] == predicted_at_once(client, rows)


def scale(stack: ComposeStack, client: Client, scorers: int) -> None:
    """Return when so many scorers, and no others, are at work."""
    stack.scale(scorer=scorers)
    stack.wait(lambda: len(scorer_addresses(client)) == scorers == len(stack.ps("scorer")))


def scorer_addresses(client: Client) -> list[str]:
    return [replica.address for replica in client.replicas().replicas if replica.service == "scorer"]


def reclaimed(stack: ComposeStack, client: Client) -> float:
    return sum(stack.metrics(address).get(RECLAIMED, 0) for address in scorer_addresses(client))
