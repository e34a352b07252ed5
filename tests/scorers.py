"""Scorers as real processes, and jobs for them."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis

from shared import artifact
from shared.chunks import Chunk, RowError, decode_part, encode_chunk
from shared.engine import Model, load_model
from shared.jobs import JobSpec, JobStatus, new_job_id, target_window
from shared.keys import Keys
from shared.process import die_with_parent
from shared.records import parts_of, submit_job
from shared.replica import ReplicaInfo, live_replicas
from shared.scripts import JobQueue
from shared.settings import ROOT
from shared.store import Store
from shared.tasks import end
from tests import faulty
from tests.artifacts import a_champion
from tests.builders import a_spec
from tests.faulty import Faults


class ScorerProcess:
    """`python -m services.scorer`, with signals to send it."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.scorer"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, sig: int) -> None:
        os.kill(self.pid, sig)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait(self, timeout: float) -> int:
        """Return the exit code."""
        assert self._process is not None
        return self._process.wait(timeout)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def lines(self, event: str) -> int:
        """Return how many log lines tell of an event."""
        return self.log.read_text().count(f'"event": "{event}"')


class Fleet:
    """Scorers of one test. Leases are short, so that takeovers need no patience."""

    def __init__(self, directory: Path, redis_url: str, store: Store) -> None:
        self._directory = directory
        self._redis_url = redis_url
        self._store_url = store.url
        self._processes: list[ScorerProcess] = []

    def start(self, faults: Faults | None = None, /, **settings: Any) -> ScorerProcess:
        """Start a scorer with its settings; `faults` makes its engine, or itself, misbehave."""
        values = {
            "redis_url": self._redis_url,
            "store_url": self._store_url,
            "state_dir": str(self._directory),
            "model_name": "model",
            "log_format": "json",
            "scorer_lease_seconds": 2,
            "scorer_janitor_seconds": 0.3,
        } | settings
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASADOR_")}
        environment = inherited | {f"TASADOR_{name.upper()}": str(value) for name, value in values.items()}
        environment |= faulty.environment(faults) if faults else {}
        process = ScorerProcess(environment, self._directory / f"scorer-{len(self._processes)}.log")
        process.start()
        self._processes.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for process in self._processes:
            if process.running:
                process.kill()
            # pytest shows it when the test has failed
            sys.stderr.write(f"--- {process.log.name}\n{process.log.read_text()[-5000:]}\n")


class Keeper:
    """Starts scorers again that died, as the launcher does, and notes how they ended."""

    def __init__(self, *scorers: ScorerProcess) -> None:
        self.codes: list[int] = []
        self._scorers = scorers

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        await end([self._task])

    async def _keep(self) -> None:
        while True:
            for scorer in self._scorers:
                if not scorer.running:
                    self.codes.append(scorer.wait(0))
                    scorer.start()
            await asyncio.sleep(0.1)


async def ready_scorers(redis: Redis) -> list[ReplicaInfo]:
    return [replica for replica in await live_replicas(redis, Keys(), ("scorer",)) if replica.state == "ready"]


class Jobs:
    """Submits jobs with random rows, and reads their results back."""

    def __init__(self, queue: JobQueue, store: Store, model: Model) -> None:
        self.queue = queue
        self.store = store
        self.model = model

    @classmethod
    async def of(cls, queue: JobQueue, store: Store, *, errors: bool = False) -> "Jobs":
        """With a champion of its own in the store; `errors`: one with an error model."""
        champion = await a_champion(store, errors=errors)
        return cls(queue, store, load_model(await artifact.fetch(store, "model", champion.version)))

    def rows(self, count: int, seed: int = 0) -> NDArray[np.float64]:
        """Return encoded rows that the model accepts."""
        rng = np.random.default_rng(seed)
        columns = [
            rng.integers(0, len(f.categories), count).astype(float)
            if f.kind == "categorical"
            else rng.uniform(f.minimum or 0.0, f.maximum or 1.0, count)
            for f in self.model.signature.features
        ]
        return np.column_stack(columns)

    async def spec(
        self, x: NDArray[np.float64], chunk_rows: int, bad: dict[int, str] | None = None, **fields: object
    ) -> JobSpec:
        """Write the input of a job; `bad` rows have an error in the field named."""
        bad = bad or {}
        job_id = new_job_id()
        pieces, offsets = [], [0]
        for start in range(0, len(x), chunk_rows):
            rows = x[start : start + chunk_rows]
            errors = [
                RowError(row, bad[row], "missing", "is required")
                for row in range(start, start + len(rows))
                if row in bad
            ]
            pieces.append(encode_chunk(Chunk(start, rows, errors)))
            offsets.append(offsets[-1] + len(pieces[-1]))
        key = f"jobs/{job_id}/input.arrow"
        await self.store.put_new(key, b"".join(pieces))
        identity = {"id": job_id, "model_version": self.model.version, "model_digest": self.model.digest}
        return a_spec(len(x), chunk_rows, input_key=key, input_offsets=offsets, **(identity | fields))

    async def submit(
        self, x: NDArray[np.float64], chunk_rows: int = 100, bad: dict[int, str] | None = None, **fields: object
    ) -> JobSpec:
        spec = await self.spec(x, chunk_rows, bad, **fields)
        assert await submit_job(self.queue, self.store, spec, window=target_window(2)) == "ok"
        return spec

    async def status(self, spec: JobSpec) -> JobStatus:
        status = await self.queue.status(spec.id)
        assert status is not None, "redis does not know the job"
        return status

    async def results(self, spec: JobSpec) -> list[dict[str, Any]]:
        """Return the records in the order of the parts, digests checked."""
        records = []
        for part in await parts_of(self.queue, self.store, await self.status(spec)):
            data = await self.store.get(part.key)
            assert artifact.sha256(data) == part.sha256
            records += decode_part(data).to_pylist()
        return records

    async def assert_complete(self, spec: JobSpec, x: NDArray[np.float64]) -> None:
        """Every row once, in order, with the model's own number."""
        records = await self.results(spec)
        assert [record["index"] for record in records] == list(range(len(x)))
        assert [record["prediction"] for record in records] == self.model.predict(x).tolist()
