"""The measurements. Each returns a table; figures that are compared come from alternated rounds of one run."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from rich.table import Table

from benchmarks.example import rows
from benchmarks.load import latencies, requests
from benchmarks.tables import a_table
from shared.settings import ROOT
from tests.e2e.stack import LocalStack, free_ports

ROUNDS = 5
SECONDS = 1.0
JOB_ROWS = 200_000


def single(stack: LocalStack) -> Table:
    """One client, one row at a time: Tasador with everything switched on beside a constant answer."""
    bodies = [{str(name): value for name, value in row.items()} for row in rows(200).to_dict("records")]
    with _bare() as bare:
        servers = {"bare uvicorn, constant answer": bare, "Tasador /predict": stack.described["gateway_url"]}
        taken: dict[str, list[list[float]]] = {name: [] for name in servers}
        for _ in range(ROUNDS + 1):
            for name, url in servers.items():
                taken[name].append(latencies(url, requests(url, "/predict", bodies), SECONDS))
    table = a_table("single row over HTTP, concurrency 1", "server", "p50 ms", "p99 ms", "p50 min-max", "requests/s")
    for name, rounds in taken.items():
        measured = rounds[1:]  # the first warms up
        medians = [statistics.median(found) * 1e3 for found in measured]
        p99 = statistics.median(float(np.quantile(found, 0.99)) * 1e3 for found in measured)
        rate = statistics.median(len(found) / SECONDS for found in measured)
        spread = f"{min(medians):.3f}-{max(medians):.3f}"
        table.add_row(name, f"{statistics.median(medians):.3f}", f"{p99:.3f}", spread, f"{rate:,.0f}")
    return table


def batch(stack: LocalStack) -> Table:
    """`/predict/batch`, and a job from CSV on disk to results on disk with two scorers."""
    table = a_table("many rows", "what", "rows", "seconds", "rows/s")
    body = {"instances": rows(1000).to_dict("records")}
    with httpx.Client(base_url=stack.described["gateway_url"], timeout=60) as http:
        seconds = _median_time([lambda: http.post("/predict/batch", json=body).raise_for_status()] * 20)
    table.add_row("/predict/batch, client's JSON included", "1,000", f"{seconds:.4f}", f"{1000 / seconds:,.0f}")
    with tempfile.TemporaryDirectory() as directory, stack.client() as client:
        path = Path(directory) / "rows.csv"
        rows(JOB_ROWS).to_csv(path, index=False)
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            client.save_results(client.wait(client.submit(path).id).id, Path(directory) / "results.csv")
            taken.append(time.perf_counter() - start)
    seconds = statistics.median(taken)
    table.add_row("job, CSV to CSV, 2 scorers", f"{JOB_ROWS:,}", f"{seconds:.2f}", f"{JOB_ROWS / seconds:,.0f}")
    return table


SECTIONS: dict[str, Callable[[LocalStack], Table]] = {"single": single, "batch": batch}


def _median_time(calls: list[Callable[[], object]]) -> float:
    taken = []
    for call in calls:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


@contextmanager
def _bare() -> Iterator[str]:
    port = free_ports(1)[0]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bare", str(port)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.post(f"http://127.0.0.1:{port}/", content=b"")
                break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
