"""What is shown of single rows over HTTP."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.tables import Cell, Column, Table, figure
from benchmarks.wrk import Load

BARE = "bare uvicorn, a constant"
TASADOR, FAST_PATH, STRIPPED = "Tasador", "Tasador, fast path", "Tasador, stripped"
PLAIN = "its decoder and engine, plain ASGI"
OURS = frozenset((BARE, TASADOR, FAST_PATH, STRIPPED, PLAIN))


@dataclass(frozen=True)
class Round:
    load: Load
    busy: float
    """The processor's seconds of the server."""
    of_first: float
    """Requests a second, of those of the first."""

    @property
    def busy_each(self) -> float:
        """Return µs a request."""
        return self.busy / self.load.requests * 1e6


@dataclass
class Measured:
    """Of one model; by connections and server, or by server."""

    rounds: dict[tuple[int, str], list[Round]] = field(default_factory=lambda: defaultdict(list))
    started: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def of_load(model: str, number: int, measured: Measured) -> Table:
    columns = [Column("server"), Column("requests/s", spread=True), Column("of bare uvicorn", digits=3, spread=True)]
    columns += [Column("p50", "ms", digits=2), Column("p99", "ms", digits=2), Column("CPU µs a request")]
    columns.append(Column("failed"))
    found = {name: rounds for (connections, name), rounds in measured.rounds.items() if connections == number}
    rows = [[name, *_figures(rounds)] for name, rounds in found.items()]
    title = f"{model.replace('_', ' ')}, {number} connection{'s' * (number > 1)}"
    return Table(f"{model}-{number}", title, columns, rows, _ahead(found))


def _figures(rounds: Sequence[Round]) -> list[Cell]:
    answered = [one for one in rounds if one.load.requests]  # the others have no latency
    values = [
        [one.load.rate for one in rounds],
        [one.of_first for one in rounds],
        [one.load.p50 / 1e3 for one in answered],
        [one.load.p99 / 1e3 for one in answered],
        [one.busy_each for one in answered],
    ]
    return [*map(figure, values), sum(one.load.failed for one in rounds)]


def _ahead(found: Mapping[str, Sequence[Round]]) -> list[str]:
    """Say how far ahead of the best other server Tasador is: by shares of the constant answer in the same round."""
    shares = {name: statistics.median(one.of_first for one in rounds) for name, rounds in found.items()}
    others = {name: share for name, share in shares.items() if name not in OURS}
    if TASADOR not in shares or not any(others.values()):
        return []
    best = max(others, key=others.__getitem__)
    return [f"Tasador answers {shares[TASADOR] / others[best]:.1f} times as many as {best}"]


def of_servers(model: str, measured: Measured) -> Table:
    columns = [Column("server"), Column("first answer", "s", digits=1), Column("memory", "MB")]
    rows: list[list[Cell]] = [[name, measured.started[name], measured.memory[name]] for name in measured.started]
    rows += [[name, "none", reason] for name, reason in measured.refused.items()]
    notes = ["all start on the one core, one after the other; memory after the load, what processes share divided"]
    return Table(f"{model}-servers", f"{model.replace('_', ' ')}: the servers themselves", columns, rows, notes)
