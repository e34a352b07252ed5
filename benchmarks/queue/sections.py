"""What the queue itself costs, and where it ends, as tables."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.queue.ceiling import drive
from benchmarks.queue.moments import Work
from benchmarks.queue.sleeping import stand
from benchmarks.section import Run
from benchmarks.tables import Cell, Column, Table, figure

SCORERS, FEW_SCORERS = (1, 2, 4, 8, 16, 32, 64), (1, 4)
SLEEPS = (0.02, 0.2, 0.5)
LANES, FEW_LANES = (1, 8, 64), (8,)
ROUNDS, SECONDS = 3, 4
IN_MEMORY = Path("/dev/shm")

Measure = tuple[Column, Callable[[Work], float]]

_RATE: Measure = (Column("chunks/s", spread=True), lambda work: work.rate)
_ALL_BUSY: Measure = (Column("machine busy", "%"), lambda work: 100 * work.passed.machine / work.passed.at / _cores())
_VALKEYS: tuple[Measure, ...] = (
    (Column("CPU of Valkey", "ms", digits=2), lambda work: 1e3 * work.each("valkey")),
    (Column("round trips", digits=1), lambda work: work.each("trips")),
    (Column("commands", digits=1), lambda work: work.each("commands")),
    (Column("syncs", digits=1), lambda work: work.each("syncs")),
    (Column("log", "KB", digits=1), lambda work: work.each("written") / 1e3),
)
SLEEPING: tuple[Measure, ...] = (
    _RATE,
    (Column("efficiency", digits=2), lambda work: work.seconds / work.cycle),
    (Column("overhead", "ms", digits=1, spread=True), lambda work: 1e3 * (work.cycle - work.seconds)),
    (Column("CPU of scorers", "ms", digits=1), lambda work: 1e3 * work.each("others")),
    *_VALKEYS,
    _ALL_BUSY,
)
DRIVING: tuple[Measure, ...] = (
    _RATE,
    (Column("Valkey's thread awake", "%"), lambda work: 100 * work.share("awake")),
    (Column("of that for its log", "%"), lambda work: 100 * work.passed.syncing / work.passed.awake),
    (Column("CPU of Valkey", "%"), lambda work: 100 * work.share("valkey")),
    *_VALKEYS,
    _ALL_BUSY,
)
STANDING: tuple[Measure, ...] = (
    (Column("CPU of Valkey", "%", digits=1), lambda work: 100 * work.share("valkey")),
    (Column("CPU of a scorer", "%", digits=2), lambda work: 100 * work.share("others") / work.hands),
    (Column("round trips/s", digits=0), lambda work: work.share("trips")),
    (Column("syncs/s", digits=0), lambda work: work.share("syncs")),
)


def queue(run: Run) -> Iterator[Table]:
    """Measure idle scorers, then ones whose chunks sleep, then the protocol alone."""
    seconds, rounds = run.few(SECONDS, 1), run.rounds(ROUNDS)
    standing: dict[str, list[Work]] = {}
    slept: dict[float, dict[str, list[Work]]] = {sleep: {} for sleep in SLEEPS}
    for number in FEW_SCORERS if run.quick else SCORERS:
        idle, works = stand(run.directory / f"scorers-{number}", number, SLEEPS * rounds, seconds)
        standing[str(number)] = [idle]
        for sleep in SLEEPS:
            slept[sleep][str(number)] = [work for work in works if work.seconds == sleep]
    for sleep, found in slept.items():
        name = f"{1e3 * sleep:.0f}"
        yield _table(f"sleep-{name}", f"chunks that sleep for {name} ms", "scorers", SLEEPING, found)
    yield _table("standing", "scorers with nothing to do", "scorers", STANDING, standing)
    yield _ceiling(run, rounds, seconds)


def _ceiling(run: Run, rounds: int, seconds: float) -> Table:
    """Alternate Valkey's files between the disk and memory, which is a disk that syncs in no time."""
    disks = {"disk": run.directory} | ({"memory": IN_MEMORY} if IN_MEMORY.is_dir() else {})
    lanes = FEW_LANES if run.quick else LANES
    found: dict[str, list[Work]] = {f"{number}, {disk}": [] for number in lanes for disk in disks}
    for _ in range(rounds):
        for number in lanes:
            for disk, where in disks.items():
                with TemporaryDirectory(dir=where) as on, TemporaryDirectory(dir=run.directory) as directory:
                    found[f"{number}, {disk}"].append(drive(Path(directory), Path(on), number, seconds))
    return _table("ceiling", "the protocol alone", "consumers, and where Valkey keeps its log", DRIVING, found)


def _table(name: str, title: str, first: str, measures: Sequence[Measure], found: Mapping[str, list[Work]]) -> Table:
    columns = [Column(first), *(column for column, _ in measures)]
    rows: list[list[Cell]] = [
        [label, *(figure([of(work) for work in works]) for _, of in measures)] for label, works in found.items()
    ]
    return Table(name, title, columns, rows)


def _cores() -> int:
    return os.cpu_count() or 1
