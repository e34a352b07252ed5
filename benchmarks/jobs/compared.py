"""Jobs beside the engine alone, scikit-learn alone, and Celery; in one run, in turns."""

import pickle
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil

from benchmarks.jobs import bare
from benchmarks.jobs.celery_run import celery
from benchmarks.jobs.client import Taken, run_job
from benchmarks.jobs.files import matrix, write_csv, write_parquet
from benchmarks.section import Run
from benchmarks.stacks import MODELS, SCORERS, a_stack, served_artifact
from benchmarks.tables import Cell, Column, Table, figure
from services.trainer.tracking import tracking
from shared.artifact import ONNX
from shared.settings import ROOT
from tests.e2e.stack import LocalStack

ROUNDS = 3
ONE_PROCESS = "one process: Arrow, the engine, Arrow"
SLOW_ROWS = 100_000  # of the rivals, which take minutes for a million; what is compared is rows/s


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


def jobs(run: Run) -> Iterator[Table]:
    """A job from a file to a file, beside the engine alone, scikit-learn alone, and Celery."""
    directory, count = run.directory, run.few(run.rows, 50_000)
    run.versions.update((name, version(name)) for name in ("scikit-learn", "celery", "pyarrow"))
    files = [write_csv(directory / "rows.csv", count), write_parquet(directory / "rows.parquet", count)]
    np.save(directory / "rows.npy", matrix(count))
    few = min(count, SLOW_ROWS)
    for model in MODELS:
        found: dict[str, list[Measured]] = {}
        with a_stack(directory / model, model) as stack:
            onnx, pipeline = _artifact(stack, directory / model)
            with celery(directory, pipeline) as score:
                score(files[0], directory / "celery.csv", few // 10)  # warms up
                for _ in range(run.rounds(ROUNDS)):
                    limit = Measured(count, *bare.measured(onnx, directory / "rows.npy", SCORERS))
                    found.setdefault(f"engine alone, {SCORERS} processes", []).append(limit)
                    for file in files:
                        format = file.suffix[1:]
                        measured = _measured_job(stack, file, directory / f"results.{format}", count)
                        found.setdefault(f"job, {format} to {format}", []).append(measured)
                    simple = Measured(count, _one_process(onnx, files[0], directory / "simple.csv"))
                    found.setdefault(ONE_PROCESS, []).append(simple)
                    alone = Measured(few, _scikit(pipeline, directory / "rows.npy", few))
                    found.setdefault(f"scikit-learn alone, 1 process ({few:,} rows)", []).append(alone)
                    rival = Measured(few, score(files[0], directory / "celery.csv", few))
                    found.setdefault(f"Celery and scikit-learn, 2 workers ({few:,} rows)", []).append(rival)
        yield _compared(model, count, found)


def _artifact(stack: LocalStack, directory: Path) -> tuple[Path, Path]:
    """Return the graph that is served, and the pipeline that it was made from, pickled."""
    info = stack.get("gateway", "/model/info")
    with tracking(f"sqlite:///{stack.state_dir / 'mlflow' / 'mlflow.db'}") as mlflow:
        pipeline = mlflow.sklearn.load_model(f"models:/{info['name']}/{info['version']}")
    path = directory / "pipeline.pickle"
    path.write_bytes(pickle.dumps(pipeline))
    return served_artifact(stack) / ONNX, path


def _one_process(onnx: Path, source: Path, target: Path) -> float:
    """Return the seconds of reading, scoring and writing."""
    command = [sys.executable, "-m", "benchmarks.jobs.one_process", str(onnx), str(source), str(target)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


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


def _compared(model: str, count: int, found: dict[str, list[Measured]]) -> Table:
    columns = [Column("what"), Column("rows/s", spread=True), Column("of the engine alone", digits=2)]
    columns.append(Column("of one process", digits=2))
    columns += [Column("CPU s per million rows", digits=1), Column("accepted + scored + saved", "s")]
    limit = next(iter(found.values()))
    rows: list[list[Cell]] = []
    for name, rounds in found.items():
        ratios = _ratios(rounds, limit)
        busy = [one.busy / one.rows * 1e6 for one in rounds if one.busy is not None]
        taken = [one.steps for one in rounds if one.steps is not None]
        steps = [statistics.median(getattr(one, step) for one in taken) for step in Taken.__annotations__ if taken]
        shown = " + ".join(f"{seconds:.1f}" for seconds in steps)
        simple = _ratios(rounds, found[ONE_PROCESS])
        rows.append([name, figure([one.rate for one in rounds]), *map(figure, (ratios, simple, busy)), shown])
    return Table(model, f"{count:,} rows, {model.replace('_', ' ')}", columns, rows)


def _ratios(rounds: Sequence[Measured], of: Sequence[Measured]) -> list[float]:
    return [one.rate / other.rate for one, other in zip(rounds, of, strict=True)]
