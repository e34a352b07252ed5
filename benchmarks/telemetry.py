"""What ids, metrics, telemetry and limits cost: a gateway with everything switched on, beside its own steps alone."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.contestants import tasador
from benchmarks.gateways import train
from benchmarks.rounds import take_rounds
from benchmarks.section import Run
from benchmarks.servers import require_two_cores
from benchmarks.stacks import MODELS
from benchmarks.tables import Cell, Column, Table, figure
from benchmarks.training import Training
from benchmarks.wrk import require_wrk

CONNECTIONS = 16
ROUNDS, SECONDS = 15, 2


def telemetry(run: Run) -> Iterator[Table]:
    require_two_cores()
    run.versions["wrk"] = require_wrk()
    columns = [Column("server"), Column("requests/s", spread=True), Column("of stripped", digits=2, spread=True)]
    columns.append(Column("CPU µs a request", spread=True))
    for model in MODELS:
        trained = train(run.directory / model, model)
        with ExitStack() as stack:
            everything, _, stripped, plain = tasador(run, stack, Training.of(model), trained)
            found = take_rounds([stripped, everything, plain], CONNECTIONS, run.rounds(ROUNDS), SECONDS, SECONDS)
        rows: list[list[Cell]] = []
        for name, rounds in found.items():
            rates = [one.load.rate for one in rounds]
            ratios, busy = [one.of_first for one in rounds], [one.busy_each for one in rounds]
            rows.append([name, figure(rates), figure(ratios), figure(busy)])
        yield Table(model, f"{model.replace('_', ' ')}, {CONNECTIONS} connections", columns, rows)
