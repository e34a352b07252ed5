"""One row a request: Tasador beside a constant answer, and beside other servers of the same model.

The servers share a core and the load has another. All are measured in turns: what the machine does, it does to all.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import httpx

from benchmarks.contestants import Contestant, bare, rival, tasador
from benchmarks.gateways import train
from benchmarks.rivals.catalogue import RIVALS
from benchmarks.rivals.environments import NotInstalled
from benchmarks.rounds import take_rounds
from benchmarks.section import Run
from benchmarks.servers import NotStarted, require_two_cores
from benchmarks.single_tables import Measured, of_load, of_servers
from benchmarks.stacks import MODELS
from benchmarks.tables import Table
from benchmarks.training import Training
from benchmarks.wrk import require_wrk

CONNECTIONS = (1, 16, 64)
ROUNDS = 5
SECONDS = 2
LONGEST = 10
"""Seconds of a round, for a server that would give a connection less than a few answers in the usual time."""
APART = {"ray"}
"""Their daemons work while they wait, so they are measured when the others are gone."""

Start = Callable[[ExitStack], list[Contestant]]


def single(run: Run) -> Iterator[Table]:
    require_two_cores()
    run.versions["wrk"] = require_wrk()
    connections = CONNECTIONS[1:2] if run.quick else CONNECTIONS
    for model in MODELS[-1:] if run.quick else MODELS:
        training = Training.of(model)
        trained = train(run.directory / model, model)
        together: dict[str, Start] = {"Tasador": partial(tasador, run, training=training, trained=trained)}
        apart: dict[str, Start] = {}
        for one in RIVALS:
            (apart if one.package in APART else together)[one.name] = partial(rival, run, training=training, of=one)
        measured = Measured()
        for starts in (together, apart):
            with ExitStack() as stack:
                contestants = bare(run, stack, training)
                for name, start in starts.items():
                    contestants += _started(run, stack, name, start, measured)
                _measure(run, contestants, connections, measured)
        yield from (of_load(model, number, measured) for number in connections)
        yield of_servers(model, measured)


def _started(run: Run, stack: ExitStack, name: str, start: Start, measured: Measured) -> list[Contestant]:
    """Return what came up; what did not is told with the reason, and costs the others nothing."""
    try:
        with ExitStack() as own:
            found = start(own)
            stack.push(own.pop_all())
        return found
    except (NotInstalled, NotStarted, httpx.HTTPError) as reason:
        run.say(f"{name}: {reason}")
        measured.refused[name] = str(reason)
        return []


def _measure(run: Run, contestants: Sequence[Contestant], connections: Sequence[int], measured: Measured) -> None:
    seconds, longest = run.few(SECONDS, 1), run.few(LONGEST, 4)
    for number in connections:
        found = take_rounds(contestants, number, run.rounds(ROUNDS), seconds, longest)
        for name, rounds in found.items():
            measured.rounds[number, name] += rounds
    for one in contestants:
        measured.started[one.name] = one.seconds_to_start
        measured.memory[one.name] = sum(server.divided() for server in one.servers)
