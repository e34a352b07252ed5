"""One row a request: Tasador beside a constant answer, and beside other servers of the same model.

The servers share a core and the load has another. All are measured in turns: what the machine does, it does to all.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import httpx

from benchmarks.contestants import Contestant, bare, rival, tasador
from benchmarks.gateways import train
from benchmarks.rivals.catalogue import RIVALS
from benchmarks.rivals.environments import NotInstalled
from benchmarks.rounds import Round, take_rounds
from benchmarks.section import Run
from benchmarks.servers import NotStarted, require_two_cores
from benchmarks.stacks import MODELS
from benchmarks.tables import Cell, Column, Table, figure
from benchmarks.training import Training
from benchmarks.wrk import require_wrk

CONNECTIONS = (1, 16, 64)
ROUNDS = 5
SECONDS = 2
LONGEST = 10
"""Seconds of a round: a server that is so slow that its answers to one request per connection take half of it."""
APART = {"ray"}
"""Their daemons work while they wait, so they are measured when the others are gone."""


@dataclass
class Measured:
    """Of one model; by connections and server, or by server."""

    rounds: dict[tuple[int, str], list[Round]] = field(default_factory=lambda: defaultdict(list))
    started: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


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
        yield from (_table(model, number, measured) for number in connections)
        yield _servers(model, measured)


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
    seconds, longest = run.few(SECONDS, 1), run.few(LONGEST, 1)
    for number in connections:
        found = take_rounds(contestants, number, run.rounds(ROUNDS), seconds, longest)
        for name, rounds in found.items():
            measured.rounds[number, name] += rounds
    for one in contestants:
        measured.started[one.name] = one.seconds_to_start
        measured.memory[one.name] = sum(server.divided() for server in one.servers)


def _table(model: str, number: int, measured: Measured) -> Table:
    columns = [Column("server"), Column("requests/s", spread=True), Column("of bare uvicorn", digits=3, spread=True)]
    columns += [Column("p50", "ms", digits=2), Column("p99", "ms", digits=2), Column("CPU µs a request")]
    columns.append(Column("failed"))
    rows: list[list[Cell]] = []
    for (connections, name), rounds in measured.rounds.items():
        if connections == number:
            rows.append(
                [
                    name,
                    figure([one.load.rate for one in rounds]),
                    figure([one.of_first for one in rounds]),
                    figure([one.load.p50 / 1e3 for one in rounds]),
                    figure([one.load.p99 / 1e3 for one in rounds]),
                    figure([one.busy_each for one in rounds]),
                    sum(one.load.failed for one in rounds),
                ]
            )
    title = f"{model.replace('_', ' ')}, {number} connection{'s' * (number > 1)}"
    return Table(f"{model}-{number}", title, columns, rows)


def _servers(model: str, measured: Measured) -> Table:
    columns = [Column("server"), Column("first answer", "s", digits=1), Column("memory", "MB")]
    rows: list[list[Cell]] = [[name, measured.started[name], measured.memory[name]] for name in measured.started]
    rows += [[name, "none", reason] for name, reason in measured.refused.items()]
    notes = [
        "memory after the load, what processes share counted by shares; all start on the one core, one after the other"
    ]
    return Table(f"{model}-servers", f"{model.replace('_', ' ')}: the servers themselves", columns, rows, notes)
