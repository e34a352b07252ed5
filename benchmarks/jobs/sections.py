"""The measurements of jobs. Each starts stacks of its own; figures that are compared come from one run, in turns."""

import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import yaml
from rich.table import Table

from benchmarks.jobs import bare
from benchmarks.jobs.celery_run import celery
from benchmarks.jobs.files import matrix, write_csv, write_parquet
from benchmarks.tables import a_table
from services.trainer.tracking import tracking
from shared.settings import ROOT
from tasador.client import Client
from tests.e2e.stack import LocalStack

ROUNDS = 3
SCORERS = 2
MODELS = ("random_forest", "ridge")
SLOW_ROWS = 100_000  # of the rivals, which take minutes for a million; what is compared is rows/s


@dataclass(frozen=True)
class Taken:
    """Seconds of a job: until it is accepted, until it is scored, until its results are on disk."""

    accepted: float
    scored: float
    saved: float

    @property
    def total(self) -> float:
        return self.accepted + self.scored + self.saved


@dataclass(frozen=True)
class Measured:
    rows: int
    seconds: float
    busy: float | None = None
    """The processor's seconds; unlike the clock's, they are the same on a busy machine."""
    steps: Taken | None = None

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


def jobs(directory: Path, count: int) -> Iterator[Table]:
    """A job from a file to a file, beside the engine alone, scikit-learn alone, and Celery."""
    files = [write_csv(directory / "rows.csv", count), write_parquet(directory / "rows.parquet", count)]
    np.save(directory / "rows.npy", matrix(count))
    few = min(count, SLOW_ROWS)
    for model in MODELS:
        found: dict[str, list[Measured]] = {}
        with a_stack(directory / model, model) as stack:
            onnx, pipeline = _artifact(stack, directory / model)
            with celery(directory, pipeline) as score:
                score(files[0], directory / "celery.csv", few // 10)  # warms up
                for _ in range(ROUNDS):
                    limit = Measured(count, *bare.measured(onnx, directory / "rows.npy", SCORERS))
                    found.setdefault(f"engine alone, {SCORERS} processes", []).append(limit)
                    for file in files:
                        format = file.suffix[1:]
                        measured = _measured_job(stack, file, directory / f"results.{format}", count)
                        found.setdefault(f"job, {format} to {format}", []).append(measured)
                    alone = Measured(few, _scikit(pipeline, directory / "rows.npy", few))
                    found.setdefault(f"scikit-learn alone, 1 process ({few:,} rows)", []).append(alone)
                    rival = Measured(few, score(files[0], directory / "celery.csv", few))
                    found.setdefault(f"Celery and scikit-learn, 2 workers ({few:,} rows)", []).append(rival)
        yield _compared(model, count, found)


def memory(directory: Path, count: int) -> Iterator[Table]:
    """The most memory that each process ever took, after jobs of growing size."""
    table = a_table("memory, ridge", "job", "seconds", "rows/s", "gateway MB", "scorers MB", "Redis MB")
    jobs = [(write_csv, "csv", count // 10), (write_csv, "csv", count), (write_parquet, "parquet", count)]
    jobs += [(write_csv, "csv", 10 * count), (write_parquet, "parquet", 10 * count)]
    with a_stack(directory, MODELS[1]) as stack:
        for write, suffix, rows in [(write_csv, "csv", 1), *jobs]:
            file = write(directory / f"rows.{suffix}", rows)
            taken = run_job(stack, file, directory / f"results.{suffix}").total
            file.unlink()
            peaks = {name: _peak(pid) for name, pid in stack.pids().items()}
            scorers = ", ".join(f"{mb:.0f}" for name, mb in peaks.items() if name.startswith("scorer"))
            table.add_row(
                f"{rows:,} rows, {suffix}",
                *(f"{taken:.1f}", f"{rows / taken:,.0f}", f"{peaks['gateway']:.0f}", scorers, f"{peaks['valkey']:.0f}"),
            )
    yield table


def scorers(directory: Path, count: int) -> Iterator[Table]:
    """The same job with more and more scorers."""
    table = a_table("scorers, random forest, CSV to CSV", "scorers", "seconds", "of which scoring", "rows/s")
    file = write_csv(directory / "rows.csv", count)
    for number in (1, 2, 4, 8):
        with a_stack(directory / str(number), MODELS[0], scorers=number) as stack:
            taken = [run_job(stack, file, directory / "results.csv") for _ in range(ROUNDS)]
        total, scored = (statistics.median(t) for t in ([t.total for t in taken], [t.scored for t in taken]))
        table.add_row(str(number), f"{total:.2f}", f"{scored:.2f}", f"{count / total:,.0f}")
    yield table


def concurrent(directory: Path, count: int) -> Iterator[Table]:
    """The same rows in one job, in ten, and in a hundred at once."""
    table = a_table(
        "jobs at once, random forest, CSV to CSV", "jobs", "rows each", "seconds", "rows/s", "slowest job s"
    )
    with a_stack(directory, MODELS[0]) as stack:
        for number in (1, 10, 100):
            file = write_csv(directory / "rows.csv", count // number)

            def one(i: int, file: Path = file) -> float:
                return run_job(stack, file, directory / f"results-{i}.csv").total

            start = time.perf_counter()
            with ThreadPoolExecutor(min(number, 25)) as clients:
                slowest = max(clients.map(one, range(number)))
            taken = time.perf_counter() - start
            table.add_row(
                str(number), f"{count // number:,}", f"{taken:.2f}", f"{count / taken:,.0f}", f"{slowest:.2f}"
            )
    yield table


def chunks(directory: Path, count: int) -> Iterator[Table]:
    """What a chunk costs whose rows cost nothing: ten rows each, and a linear model."""
    table = a_table("overhead of a chunk", "scorers", "chunks", "seconds", "ms a chunk and scorer")
    rows = max(1_000, count // 50)
    file = write_csv(directory / "rows.csv", rows)
    for number in (1, 2):
        with a_stack(directory / str(number), "ridge", scorers=number, gateway_chunk_rows=10) as stack:
            scored = statistics.median(run_job(stack, file, directory / "results.csv").scored for _ in range(ROUNDS))
        each = scored / (rows // 10) * number * 1e3
        table.add_row(str(number), f"{rows // 10:,}", f"{scored:.2f}", f"{each:.2f}")
    yield table


SECTIONS: dict[str, Callable[[Path, int], Iterator[Table]]] = {
    "jobs": jobs,
    "memory": memory,
    "scorers": scorers,
    "concurrent": concurrent,
    "chunks": chunks,
}


@contextmanager
def a_stack(directory: Path, model: str, **settings: object) -> Iterator[LocalStack]:
    """Run a stack that serves one kind of model, trained on the example."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["source"] = str(ROOT / params["data"]["source"])
    params["selection"]["only"] = model
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "params.yaml").write_text(yaml.safe_dump(params))
    stack = LocalStack(directory, params_path=directory / "params.yaml", **({"scorers": SCORERS} | settings))
    try:
        yield stack.start()
        stack.stop()
    finally:
        stack.kill()


def run_job(stack: LocalStack, source: Path, target: Path) -> Taken:
    with Client(stack.described["gateway_url"], timeout=600) as client:
        start = time.perf_counter()
        job = client.submit(source)
        accepted = time.perf_counter()
        job = client.wait(job.id)
        scored = time.perf_counter()
        assert (job.state, job.rows.failed) == ("completed", 0), job
        client.save_results(job.id, target)
        saved = time.perf_counter()
    return Taken(accepted - start, scored - accepted, saved - scored)


def _artifact(stack: LocalStack, directory: Path) -> tuple[Path, Path]:
    """Return the graph that is served, and the pipeline that it was made from, pickled."""
    info = stack.get("gateway", "/model/info")
    with tracking(f"sqlite:///{stack.state_dir / 'mlflow' / 'mlflow.db'}") as mlflow:
        pipeline = mlflow.sklearn.load_model(f"models:/{info['name']}/{info['version']}")
    path = directory / "pipeline.pickle"
    path.write_bytes(pickle.dumps(pipeline))
    return stack.state_dir / "store" / "models" / info["name"] / info["version"] / "model.onnx", path


def _scikit(pipeline: Path, array: Path, rows: int) -> float:
    """Return the seconds of predict alone, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.jobs.scikit", str(pipeline), str(array), str(rows)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def _measured_job(stack: LocalStack, source: Path, target: Path, rows: int) -> Measured:
    """Run a job; its processor's seconds are those of all processes of the stack."""
    before = _busy(stack)
    taken = run_job(stack, source, target)
    return Measured(rows, taken.total, _busy(stack) - before, taken)


def _busy(stack: LocalStack) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in stack.pids().values()]
    return sum(time.user + time.system for time in times)


def _peak(pid: int) -> float:
    """Return the most memory that a process ever had resident, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _compared(model: str, count: int, found: dict[str, list[Measured]]) -> Table:
    limit = next(iter(found.values()))
    columns = ("rows/s", "min-max", "of the engine alone", "CPU s per million rows", "accepted + scored + saved, s")
    table = a_table(f"{count:,} rows, {model}", "what", *columns)
    for name, rounds in found.items():
        rates = [one.rate for one in rounds]
        ratio = statistics.median(one.rate / best.rate for one, best in zip(rounds, limit, strict=True))
        busy = [one.busy / one.rows * 1e6 for one in rounds if one.busy is not None]
        taken = [one.steps for one in rounds if one.steps is not None]
        steps = [statistics.median(getattr(one, step) for one in taken) for step in Taken.__annotations__ if taken]
        table.add_row(
            name,
            f"{statistics.median(rates):,.0f}",
            f"{min(rates):,.0f}-{max(rates):,.0f}",
            f"{ratio:.2f}",
            f"{statistics.median(busy):.1f}" if busy else "",
            " + ".join(f"{seconds:.1f}" for seconds in steps),
        )
    return table
