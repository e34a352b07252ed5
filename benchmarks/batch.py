"""Many rows: `/predict/batch` beside the engine's own time, and a job from CSV on disk to results on disk."""

import json
import statistics
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.example import rows
from benchmarks.jobs.client import run_job
from benchmarks.jobs.files import write_csv
from benchmarks.load import latencies, requests
from benchmarks.section import Run
from benchmarks.stacks import MODELS, SCORERS, a_stack, served_engine
from benchmarks.tables import Cell, Column, Table, figure
from tests.e2e.stack import LocalStack

BATCH_ROWS = 1_000
BATCHES = 20
JOB_ROWS = 200_000
ROUNDS, JOBS = 5, 3


def batch(run: Run) -> Iterator[Table]:
    columns = [Column("what"), Column("rows"), Column("ms", digits=2, spread=True), Column("rows/s")]
    columns.append(Column("of the engine", digits=2))
    for model in MODELS:
        with a_stack(run.directory / model, model) as stack:
            rounds = _batches(run, stack)
            count = run.few(JOB_ROWS, 20_000)
            measured = {
                "the engine, rows in memory": (BATCH_ROWS, [alone for alone, _ in rounds]),
                "`/predict/batch`": (BATCH_ROWS, [answered for _, answered in rounds]),
                f"a job, CSV to CSV, {SCORERS} scorers": (count, _jobs(run, stack, count)),
            }
        alone = measured["the engine, rows in memory"][1]
        cells: list[list[Cell]] = []
        for what, (number, seconds) in measured.items():
            batches = number == BATCH_ROWS
            ratios = [taken / limit for taken, limit in zip(seconds, alone, strict=True)] if batches else []
            rate = figure([number / taken for taken in seconds])
            cells.append([what, number, figure([1e3 * taken for taken in seconds]), rate, figure(ratios)])
        yield Table(model, model.replace("_", " "), columns, cells, ["one client, which sends bytes that it has ready"])


def _batches(run: Run, stack: LocalStack) -> list[tuple[float, float]]:
    """Return, for each round, the median seconds of the engine and of the answer over HTTP."""
    frame = rows(BATCH_ROWS * BATCHES)
    pieces = [frame.iloc[start : start + BATCH_ROWS] for start in range(0, len(frame), BATCH_ROWS)]
    bodies = [json.dumps({"instances": piece.to_dict("records")}).encode() for piece in pieces]
    arrays = [np.ascontiguousarray(piece.to_numpy()) for piece in pieces]
    engine = served_engine(stack)
    sent = requests(stack.described["gateway_url"], "/predict/batch", bodies)
    found = []
    for _ in range(run.rounds(ROUNDS) + 1):
        alone = []
        for x in arrays:
            started = time.perf_counter()
            engine.run(x)
            alone.append(time.perf_counter() - started)
        answered = latencies(stack.described["gateway_url"], sent, run.few(2, 1))
        found.append((statistics.median(alone), statistics.median(answered)))
    return found[1:]  # the first warms up


def _jobs(run: Run, stack: LocalStack, count: int) -> list[float]:
    file = write_csv(run.directory / "rows.csv", count)
    return [run_job(stack, file, run.directory / "results.csv").total for _ in range(run.rounds(JOBS))]
