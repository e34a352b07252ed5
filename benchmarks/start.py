"""From the command to ready, and what a process takes then."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.gateways import a_valkey, train
from benchmarks.load import requests, send
from benchmarks.section import Run
from benchmarks.servers import Server
from benchmarks.tables import Cell, Column, Table, figure
from benchmarks.training import Training
from shared.settings import PREFIX
from tests.ports import free_port

ROUNDS = 5
REQUESTS = 1_000
READY = {"gateway": "/predict", "scorer": "/health/ready"}
NOT_FOR_SERVING = ("sklearn", "pandas", "mlflow", "matplotlib", "onnx", "scipy")


def start(run: Run) -> Iterator[Table]:
    trained = train(run.directory / "trained", "random_forest")
    columns = [Column("process"), Column("ready after", "s", digits=2, spread=True), Column("CPU", "s", digits=2)]
    columns += [Column("resident", "MB"), Column(f"after {REQUESTS:,} requests", "MB"), Column("training libraries")]
    with a_valkey(run.directory, core=None) as (redis_url, _):
        starts = {
            service: [_start(run, service, trained.environment(redis_url=redis_url)) for _ in range(run.rounds(ROUNDS))]
            for service in READY
        }
    rows: list[list[Cell]] = []
    for service, found in starts.items():
        later = [one.later for one in found if one.later]
        foreign = sorted({library for one in found for library in one.foreign})
        figures = [[one.seconds for one in found], [one.busy for one in found], [one.resident for one in found], later]
        rows.append([service, *map(figure, figures), ", ".join(foreign) or "none"])
    notes = ["a gateway is ready when it answers its first prediction, a scorer when it says so; the forest is served"]
    yield Table("start", "from the command to ready", columns, rows, notes)


@dataclass(frozen=True)
class Started:
    seconds: float
    busy: float
    resident: float
    later: float | None
    """Resident, after requests; of a gateway."""
    foreign: list[str]


def _start(run: Run, service: str, settings: Mapping[str, str]) -> Started:
    port = free_port()
    url, environment = f"http://127.0.0.1:{port}", {**settings, f"{PREFIX}{service.upper()}_PORT": str(port)}
    bodies = [json.dumps(row).encode() for row in Training.of("random_forest").asked]
    command, predicts = [sys.executable, "-m", f"services.{service}"], service == "gateway"
    started = time.perf_counter()
    with Server(command, run.directory, core=None, environment=environment) as server:
        server.wait_for(url + READY[service], bodies[0] if predicts else None)
        seconds, busy, resident = time.perf_counter() - started, server.busy(), server.resident()
        if predicts:
            send(url, requests(url, READY[service], bodies), REQUESTS)
        later = server.resident() if predicts else None
        return Started(seconds, busy, resident, later, server.loaded(NOT_FOR_SERVING))
