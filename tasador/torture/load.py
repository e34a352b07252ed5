"""What runs while a stack is broken: jobs, predictions, and a look at everything else that was promised."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import get_args

from shared.jobs import new_job_id
from tasador.client import Client, NotFound, Problem, TasadorError
from tasador.client.options import Priority
from tasador.torture.history import Accepted, History, Predicted, Replica, Stranger
from tasador.torture.jobs import JobRunner, Table
from tasador.torture.oracle import Oracle
from tasador.torture.order import Limits

BROKEN = 0.01
"""Share of a job's rows that cannot be scored."""
PREDICT_EVERY = 0.02
WATCH_EVERY = 0.5
_CANCELLED = 0.15
"""Share of the jobs that are cancelled on their way."""
_EXPIRING = 0.15
"""Share of the jobs with a deadline that may come too soon."""
_DEADLINE = (0.5, 10.0)
"""Seconds from the acceptance of the job."""
_PRIORITIES = get_args(Priority)


class Load:
    """Threads that ask until `stop` is set; jobs that run by then are seen through for as long as `patience` says.

    Args:
        patience: seconds.
    """

    def __init__(
        self, url: str, history: History, oracle: Oracle, seed: int, limits: Limits, *, patience: float
    ) -> None:
        self._url = url
        self._history = history
        self._oracle = oracle
        self._seed = seed
        self._limits = limits
        self._patience = patience
        self._stop = threading.Event()
        self._stopped_at = float("inf")
        self._failures: list[Exception] = []
        self._open: set[str] = set()

    @property
    def at_work(self) -> bool:
        """Whether a job was accepted and not yet seen to have ended."""
        return bool(self._open)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask meanwhile; then see jobs through, and look at each accepted job once more.

        Raises:
            Exception: what ended one of the threads: a fault of ours, not of the stack.
        """
        runners = [self._jobs(number) for number in range(self._limits.jobs)]
        work = [*runners, self._predict, self._watch]
        threads = [threading.Thread(target=self._guarded, args=(run,)) for run in work]
        for thread in threads:
            thread.start()
        try:
            yield
        except BaseException:
            self._patience = 0.0  # nobody will look at what comes of it
            raise
        finally:
            self._stopped_at = time.monotonic()
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._failures:
            raise self._failures[0]
        with Client(self._url) as client:
            runner = JobRunner(client, self._history, self._oracle, self._exhausted)
            for accepted in self._history.of(Accepted):
                runner.look(accepted.job)

    def _guarded(self, run: Callable[[Client], None]) -> None:
        try:
            with Client(self._url) as client:
                run(client)
        except Exception as error:
            self._failures.append(error)

    def _exhausted(self) -> bool:
        return time.monotonic() > self._stopped_at + self._patience

    def _jobs(self, number: int) -> Callable[[Client], None]:
        chance = random.Random(self._seed * 1000 + number)

        def run(client: Client) -> None:
            runner = JobRunner(client, self._history, self._oracle, self._exhausted)
            while not self._stop.is_set():
                self._job(runner, chance)

        return run

    def _job(self, runner: JobRunner, chance: random.Random) -> None:
        rows = chance.randint(1, self._limits.most_rows)
        places = self._oracle.draw(rows, round(rows * BROKEN), chance.getrandbits(32))
        priority = chance.choice(_PRIORITIES)
        cancel_at = chance.random() if chance.random() < _CANCELLED else None
        seconds = chance.uniform(*_DEADLINE) if chance.random() < _EXPIRING else None
        table = Table(places, priority, seconds)
        job_id = runner.submit(table)
        if job_id is None:
            return
        self._open.add(job_id)
        ended = runner.follow(job_id, cancel_at=cancel_at)
        self._open.discard(job_id)
        if ended:
            runner.read(ended, table)

    def _predict(self, client: Client) -> None:
        place = self._seed
        while not self._stop.wait(PREDICT_EVERY):
            place += 1
            self._history.note(self._prediction(client, place))

    def _prediction(self, client: Client, place: int) -> Predicted:
        place, row = self._oracle.valid(place)
        asked = self._history.now()
        try:
            answer = client.predict(row)
        except TasadorError as problem:
            at, status = self._history.now(), problem.status if isinstance(problem, Problem) else 0
            return Predicted(at=at, status=status, seconds=at - asked)
        at, version = self._history.now(), answer.model_version
        due = self._oracle.value(version, place)
        right = None if due is None else answer.prediction == due
        return Predicted(at=at, status=200, seconds=at - asked, version=version, right=right)

    def _watch(self, client: Client) -> None:
        while not self._stop.wait(WATCH_EVERY):
            self._history.note(Stranger(at=self._history.now(), status=_status_of_a_stranger(client)))
            try:
                replicas = client.replicas().replicas
            except TasadorError:
                continue
            now = self._history.now()
            self._history.note(*(Replica(at=now, id=each.id, epoch=each.epoch) for each in replicas if each.epoch))


def _status_of_a_stranger(client: Client) -> int:
    try:
        client.job(new_job_id())
    except NotFound:
        return 404
    except TasadorError as problem:
        return problem.status if isinstance(problem, Problem) else 0
    return 200
