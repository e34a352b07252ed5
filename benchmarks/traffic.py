"""What the monitor and Valkey take of memory while they count a hundred million rows.

Rows are summarised as scorers and gateways do it. Their events say that they are of any moment of the time that is
kept: so all buckets are soon in use, as after a week.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from redis import Redis

from benchmarks.example import rows as example_rows
from benchmarks.gateways import a_valkey, train
from benchmarks.section import Run
from benchmarks.stacks import MODELS
from benchmarks.tables import Cell, Column, Table
from services.monitor.settings import MonitorSettings
from services.monitor.windows import DAY, HOUR
from shared import artifact
from shared.engine import Model, load_model
from shared.events import ChunkScored, Event, PredictionsLogged
from shared.keys import Keys
from shared.profile import summarise
from shared.store import Store
from tests.ports import free_port
from tests.processes import ServiceProcess
from tests.waiting import NO_TLS, nothing_waits, pause

ROWS, FEW_ROWS = 100_000_000, 2_000_000
LOOKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the rows after which memory is looked at."""
CHUNK, LOGGED = 100_000, 1_000
"""Rows of an event of either kind. Each chunk is followed by one event of predictions: a hundredth of the rows."""
JOB = 100
"""Chunks."""
WAITING = 50
"""Events that wait at most: more would be memory of their own."""
PATIENCE = 120.0  # seconds


def traffic(run: Run) -> Iterator[Table]:
    trained = train(run.directory / "trained", MODELS[1])
    store = Store.open((trained.state / "store").as_uri())
    port = free_port()
    with a_valkey(run.directory, core=None) as (redis_url, _), Redis.from_url(redis_url) as redis:
        settings = {"redis_url": redis_url, "state_dir": trained.state, "monitor_port": port, "log_level": "warning"}
        with ServiceProcess("monitor", run.directory, **settings) as monitor:
            site = _Site(redis, monitor, f"http://127.0.0.1:{port}", _Rows(asyncio.run(_served(store))))
            site.settled()
            looks = [site.count(round(share * run.few(ROWS, FEW_ROWS))) for share in LOOKS]
    columns = [Column("rows counted"), Column("seconds"), Column("monitor", "MB", digits=1)]
    columns += [Column("its most", "MB", digits=1), Column("Valkey", "MB", digits=1), Column("keys in it")]
    days = MonitorSettings.model_fields["monitor_keep_days"].default
    notes = [
        f"ridge, 13 features; 99 rows of 100 in chunks of {CHUNK:,}, the others in events of {LOGGED:,} predictions",
        f"half of the rows are said to be of the last three hours, the others of the last {days} days",
        "seconds from the start, those in which rows are made included; memory when everything has been counted",
    ]
    yield Table("traffic", "memory while rows are counted", columns, looks, notes)


async def _served(store: Store) -> Model:
    (name,) = {key.split("/")[1] async for key in store.list("models")}
    champion = await artifact.read_champion(store, name)
    assert champion is not None
    return load_model(await artifact.fetch(store, name, champion.version))


class _Rows:
    """Makes events of rows that are always others."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._numbers = itertools.count()
        self._dice = np.random.default_rng(0)
        self._answered = 0

    def events(self) -> Iterator[tuple[Event, int]]:
        """Yield for ever an event and its rows."""
        while True:
            number = next(self._numbers)
            x, predictions = self._some(CHUNK - LOGGED, 2 * number)
            counts = summarise(self._model.profile, x, predictions)
            at = datetime.fromtimestamp(self._moment(), UTC)
            of = {"model_name": self._model.name, "model_version": self._model.version}
            job: dict[str, Any] = {"job_id": f"job-{number // JOB}", "chunk": number % JOB, "failed": 0, "seconds": 0.1}
            yield ChunkScored(occurred_at=at, rows=len(x), counts=counts, **job, **of), len(x)
            yield self._logged(number, of), LOGGED

    def _logged(self, number: int, of: dict[str, str]) -> PredictionsLogged:
        x, predictions = self._some(LOGGED, 2 * number + 1)
        self._answered += LOGGED
        at = self._moment()
        return PredictionsLogged(
            replica="gateway",
            sequence=number + 1,
            answered_before=self._answered - LOGGED,
            rows=LOGGED,
            request_id=[f"{number}-{row}" for row in range(LOGGED)],
            index=[0] * LOGGED,
            mode=["single"] * LOGGED,
            time=[at] * LOGGED,
            latency=self._dice.lognormal(-10, 1, LOGGED).tolist(),
            features=x.T.tolist(),
            prediction=predictions.tolist(),
            **of,
        )

    def _some(self, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x = example_rows(count, seed)[list(self._model.signature.names)].to_numpy(np.float64)
        return x, self._model.predict(x)

    def _moment(self) -> float:
        days = MonitorSettings.model_fields["monitor_keep_days"].default
        return time.time() - self._dice.uniform(0, 3 * HOUR if self._dice.random() < 0.5 else days * DAY)


@dataclass
class _Site:
    redis: Redis
    monitor: ServiceProcess
    url: str
    rows: _Rows
    sent: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._keys, self._events = Keys(), self.rows.events()

    def count(self, rows: int) -> list[Cell]:
        """Send until so many rows were sent in all, wait until they are counted, and look at the memory."""
        while self.sent < rows:
            event, more = next(self._events)
            stream = self._keys.stream(event.stream)
            _until(partial(self._has_room, stream))
            self.redis.xadd(stream, event.entry())  # type: ignore[arg-type]
            self.sent += more
        self.settled()
        resident = psutil.Process(self.monitor.pid).memory_info().rss / 1e6
        used = self.redis.info("memory")["used_memory"] / 1e6
        taken = time.monotonic() - self.started
        return [f"{self.sent:,}", taken, resident, _most(self.monitor.pid), used, self.redis.dbsize()]

    def _has_room(self, stream: str) -> bool:
        return int(self.redis.xlen(stream)) < WAITING

    def settled(self) -> None:
        """Wait until everything is counted, logged and deleted."""
        _until(self._is_settled)

    def _is_settled(self) -> bool:
        answer = httpx.get(f"{self.url}/stats", verify=NO_TLS, timeout=30)
        if answer.status_code != httpx.codes.OK:
            return False
        found = answer.json()
        counted: int = found["lifetime"]["all"]["total_predictions"]
        return nothing_waits(found) and counted == self.sent


def _until(state: Callable[[], bool]) -> None:
    """Raises TimeoutError."""
    began = time.monotonic()
    while not _holds(state):
        if time.monotonic() - began > PATIENCE:
            raise TimeoutError("the monitor does not count what it is sent")
        time.sleep(pause(began))


def _holds(state: Callable[[], bool]) -> bool:
    try:
        return state()
    except httpx.TransportError:  # not yet there
        return False


def _most(pid: int) -> float:
    """Return the most memory that a process ever had resident, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM"))
