"""More processes: scorers for jobs, gateway workers for single rows."""

import json
from collections.abc import Iterator

from benchmarks.jobs.client import run_job
from benchmarks.jobs.files import write_csv
from benchmarks.section import Run
from benchmarks.stacks import MODELS, a_stack
from benchmarks.tables import Cell, Column, Table, figure
from benchmarks.training import Training
from benchmarks.wrk import load, require_wrk

SCORERS, WORKERS = (1, 2, 4, 8), (1, 2)
JOBS, ROUNDS = 3, 5
CONNECTIONS, SECONDS = 32, 3


def scaling(run: Run) -> Iterator[Table]:
    yield _scorers(run)
    yield _gateways(run)


def _scorers(run: Run) -> Table:
    """Score the same rows with more and more of them."""
    directory, count = run.directory, run.few(run.rows, 50_000)
    columns = [Column("scorers"), Column("seconds", digits=1), Column("of which scoring", digits=1)]
    columns.append(Column("rows/s", spread=True))
    found: list[list[Cell]] = []
    file = write_csv(directory / "rows.csv", count)
    for number in SCORERS:
        with a_stack(directory / str(number), MODELS[0], scorers=number) as stack:
            taken = [run_job(stack, file, directory / "results.csv") for _ in range(run.rounds(JOBS))]
        figures = [figure(values) for values in ([t.total for t in taken], [t.scored for t in taken])]
        found.append([str(number), *figures, figure([count / t.total for t in taken])])
    return Table("scorers", f"{count:,} rows, random forest, CSV to CSV", columns, found)


def _gateways(run: Run) -> Table:
    """Ask for single rows; nothing is pinned, and the load takes its share of the cores."""
    run.versions["wrk"] = require_wrk()
    bodies = run.directory / "bodies"
    bodies.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in Training.of(MODELS[0]).asked))
    columns = [Column("workers"), Column("requests/s", spread=True), Column("p50", "ms", digits=2)]
    columns += [Column("p99", "ms", digits=2), Column("failed")]
    rows: list[list[Cell]] = []
    for number in WORKERS:
        with a_stack(run.directory / f"workers-{number}", MODELS[0], gateway_workers=number) as stack:
            url = f"{stack.described['gateway_url']}/predict"
            load(url, bodies, CONNECTIONS, 1)
            found = [load(url, bodies, CONNECTIONS, run.few(SECONDS, 1)) for _ in range(run.rounds(ROUNDS))]
        figures = [[one.rate for one in found], [one.p50 / 1e3 for one in found], [one.p99 / 1e3 for one in found]]
        rows.append([str(number), *map(figure, figures), sum(one.failed for one in found)])
    return Table("workers", f"workers of a gateway, {CONNECTIONS} connections, random forest", columns, rows)
