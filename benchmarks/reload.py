"""Promotions under load: nothing may fail, and how long until every replica serves the same version."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.section import Run
from benchmarks.servers import NotStarted
from benchmarks.stacks import a_stack
from benchmarks.tables import Cell, Column, Table, figure
from benchmarks.training import Training
from benchmarks.wrk import Load, load, require_wrk
from tests.e2e.stack import LocalStack

ROUNDS = 4
SECONDS = 15  # with promotions, and as many without, in turns: a minute of each
EVERY = 1.0  # seconds
CONNECTIONS = 8
VERSIONS = ("1", "2")


def reload(run: Run) -> Iterator[Table]:
    run.versions["wrk"] = require_wrk()
    bodies = run.directory / "bodies"
    bodies.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in Training.of("random_forest").asked))
    found: dict[str, list[Load]] = {"no promotion": [], "a promotion every second": []}
    converged: list[float] = []
    with a_stack(run.directory / "stack", "random_forest") as stack:
        trained = stack.tasador("train")
        if trained.returncode:
            raise NotStarted(f"no second version: {trained.stderr}")
        _load(run, stack, bodies)  # warms up
        for _ in range(run.rounds(ROUNDS)):
            found["no promotion"].append(_load(run, stack, bodies))
            with _promotions(stack, converged):
                found["a promotion every second"].append(_load(run, stack, bodies))
    yield _table(found)
    columns = [Column("promotions"), Column("until all serve the version", "s", digits=2, spread=True)]
    notes = ["from the request to the answer that every gateway and scorer has it; one gateway, two scorers"]
    yield Table("convergence", "promotions", columns, [[str(len(converged)), figure(converged)]], notes)


def _load(run: Run, stack: LocalStack, bodies: Path) -> Load:
    return load(f"{stack.described['gateway_url']}/predict", bodies, CONNECTIONS, run.few(SECONDS, 5))


@contextmanager
def _promotions(stack: LocalStack, taken: list[float]) -> Iterator[None]:
    """Promote the versions in turn meanwhile; one that fails is an error."""
    stopped, failed = threading.Event(), list[BaseException]()

    def promote() -> None:
        try:
            with stack.client() as client:
                while not stopped.is_set():
                    started = time.monotonic()
                    operation = client.promote(VERSIONS[len(taken) % 2])
                    ended = client.wait_operation(operation.id, timeout=60)
                    if ended.state != "succeeded":
                        raise RuntimeError(f"the promotion failed: {ended.detail}")
                    taken.append(time.monotonic() - started)
                    stopped.wait(EVERY - taken[-1])
        except BaseException as error:  # raised again below
            failed.append(error)

    thread = threading.Thread(target=promote)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
    if failed:
        raise failed[0]


def _table(found: dict[str, list[Load]]) -> Table:
    columns = [Column("meanwhile"), Column("requests"), Column("failed"), Column("requests/s", spread=True)]
    columns += [Column(name, "ms", digits=2, spread=True) for name in ("p50", "p99")]
    rows: list[list[Cell]] = []
    for name, loads in found.items():
        counts = [sum(one.requests for one in loads), sum(one.failed for one in loads)]
        latencies = [figure([one.p50 / 1e3 for one in loads]), figure([one.p99 / 1e3 for one in loads])]
        rows.append([name, *counts, figure([one.rate for one in loads]), *latencies])
    return Table("reload", f"single rows over {CONNECTIONS} connections, random forest", columns, rows)
