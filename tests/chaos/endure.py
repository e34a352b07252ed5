"""One job through a schedule of faults."""

import asyncio
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.signature import Signature
from shared.store import Store
from tasador.torture import target
from tasador.torture.history import Fault, History, Seen
from tasador.torture.injector import Injector, Lengths
from tasador.torture.jobs import JobRunner, Table
from tasador.torture.load import Load
from tasador.torture.oracle import Oracle
from tasador.torture.order import Limits
from tasador.torture.schedule import Kind, schedule
from tests.artifacts import a_champion
from tests.e2e.stack import LocalStack
from tests.faulty import Faults, environment

LEASE = 2.0
POISON = 2
"""Rows that end the engine's process, among those in error."""
UNKNOWN = -1.0
"""What a category that the model does not know becomes: the first feature of poison, and of no other row."""


@dataclass(frozen=True)
class Chaos:
    """How much is scored, and what is done meanwhile."""

    rows: int
    faults: Mapping[Kind, int]
    seed: int
    chunk_rows: int = 100
    seconds_per_row: float = 0.003
    """A chunk takes long enough to be hit in its middle."""

    @property
    def errors(self) -> int:
        """One row in a hundred."""
        return self.rows // 100


class ServingStack(LocalStack):
    """A gateway and four scorers that the launcher brings back, over a model that was made beforehand."""

    command = (sys.executable, "-m", "tests.chaos.up")

    def __init__(self, directory: Path, chaos: Chaos) -> None:
        super().__init__(
            directory,
            model_name="model",
            scorers=4,
            gateway_chunk_rows=chaos.chunk_rows,
            scorer_lease_seconds=LEASE,
            scorer_janitor_seconds=0.5,
            presence_seconds=3,
        )
        self._environment |= environment(Faults(seconds_per_row=chaos.seconds_per_row, exit_at=UNKNOWN))
        self.store = Store.open((self.state_dir / "store").as_uri())


@contextmanager
def a_stack(directory: Path, chaos: Chaos) -> Iterator[ServingStack]:
    stack = ServingStack(directory, chaos)
    asyncio.run(a_champion(stack.store))
    try:
        yield stack.start()
    finally:
        stack.kill()


def endure(stack: ServingStack, chaos: Chaos) -> History:
    """Run one job through the faults, and predict meanwhile; return what happened."""
    history = History()
    url = stack.described["gateway_url"]
    with stack.client() as client:
        oracle = Oracle(Signature.model_validate(client.model_info().signature), chaos.seed)
        first = oracle.signature.features[0].name
        poison = oracle.add({**oracle.rows[0], first: "unheard of"}, "poison")
        oracle.learn(client)
        table = _table(oracle, chaos, poison)
        runner = JobRunner(client, history, oracle, give_up=lambda: history.now() > 400)
        with Load(url, history, oracle, chaos.seed, Limits(jobs=0), patience=30).running():
            job_id = runner.submit(table)
            assert job_id is not None
            ended = _through_faults(stack, chaos, runner, job_id, history)
            runner.read(ended, table)
    return history


def _table(oracle: Oracle, chaos: Chaos, poison: int) -> Table:
    places = oracle.draw(chaos.rows - POISON, chaos.errors - POISON, chaos.seed)
    middle, later = chaos.rows // 2, chaos.rows * 3 // 4
    return Table(np.insert(places, [middle, later], poison))


def _through_faults(stack: ServingStack, chaos: Chaos, runner: JobRunner, job_id: str, history: History) -> Seen:
    done, stop = [0], threading.Event()

    def note(seen: Seen) -> None:
        done[0] = seen.done if seen.known else done[0]

    victims = target.LocalStack.running(stack.state_dir)
    lengths = Lengths(pause=(1.5 * LEASE, 2.5 * LEASE))
    injector = Injector(victims, history, lengths, tell=_tell)
    planned = schedule(chaos.seed, chaos.faults, flush_early=True)
    injecting = threading.Thread(target=injector.run, args=(planned, lambda: done[0] / chaos.rows, stop))
    injecting.start()
    try:
        ended = runner.follow(job_id, on_look=note)
    finally:
        stop.set()
        injecting.join()
    assert ended is not None, f"not ended in time:\n{stack.output()[-5000:]}"
    return ended


def _tell(fault: Fault) -> None:
    """pytest shows it when the test has failed."""
    sys.stderr.write(f"{fault.at:6.1f} s  {fault.kind:<6} {fault.target or fault.skipped}\n")
