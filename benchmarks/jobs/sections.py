"""Jobs of growing size and number; each section starts stacks of its own."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.jobs.client import run_job
from benchmarks.jobs.files import write_csv, write_parquet
from benchmarks.section import Run
from benchmarks.stacks import MODELS, a_stack
from benchmarks.tables import Cell, Column, Table, figure

ROUNDS = 3


def memory(run: Run) -> Iterator[Table]:
    """The most memory that each process ever took, after jobs of growing size."""
    directory, count = run.directory, run.few(run.rows, 50_000)
    figures = ("gateway", "scorer 1", "scorer 2", "valkey")
    columns = [Column("job"), Column("seconds", digits=1), Column("rows/s"), *(Column(name, "MB") for name in figures)]
    found: list[list[Cell]] = []
    jobs = [(write_csv, "csv", count // 10), (write_csv, "csv", count), (write_parquet, "parquet", count)]
    jobs += [(write_csv, "csv", 10 * count), (write_parquet, "parquet", 10 * count)]
    with a_stack(directory, MODELS[1]) as stack:
        for write, suffix, rows in [(write_csv, "csv", 1), *jobs]:
            file = write(directory / f"rows.{suffix}", rows)
            taken = run_job(stack, file, directory / f"results.{suffix}").total
            file.unlink()
            peaks = {name.replace("-", " "): _peak(pid) for name, pid in stack.pids().items()}
            found.append(
                [f"{rows:,} row{'s' * (rows > 1)}, {suffix}", taken, rows / taken, *(peaks[name] for name in figures)]
            )
    yield Table("memory", "the most that each process ever had resident; ridge", columns, found)


def concurrent(run: Run) -> Iterator[Table]:
    """The same rows in one job, in ten, and in a hundred at once."""
    directory, count = run.directory, run.few(run.rows, 50_000)
    columns = [Column("jobs"), Column("rows each"), Column("seconds", digits=1), Column("rows/s")]
    columns.append(Column("slowest job", "s", digits=1))
    found: list[list[Cell]] = []
    with a_stack(directory, MODELS[0]) as stack:
        for number in (1, 10, 100):
            file = write_csv(directory / "rows.csv", count // number)

            def one(i: int, file: Path = file) -> float:
                return run_job(stack, file, directory / f"results-{i}.csv").total

            start = time.perf_counter()
            with ThreadPoolExecutor(min(number, 25)) as clients:
                slowest = max(clients.map(one, range(number)))
            taken = time.perf_counter() - start
            found.append([str(number), count // number, taken, count / taken, slowest])
    yield Table("concurrent", "jobs at once, random forest, CSV to CSV", columns, found)


def chunks(run: Run) -> Iterator[Table]:
    """What a chunk costs whose rows cost nothing: ten rows each, and a linear model."""
    directory, rows = run.directory, max(1_000, run.few(run.rows, 50_000) // 50)
    columns = [Column("scorers"), Column("chunks"), Column("seconds", digits=2)]
    columns.append(Column("a chunk and scorer", "ms", digits=2, spread=True))
    found: list[list[Cell]] = []
    file = write_csv(directory / "rows.csv", rows)
    for number in (1, 2):
        with a_stack(directory / str(number), "ridge", scorers=number, gateway_chunk_rows=10) as stack:
            taken = [run_job(stack, file, directory / "results.csv").scored for _ in range(run.rounds(ROUNDS))]
        each = [seconds / (rows // 10) * number * 1e3 for seconds in taken]
        found.append([str(number), rows // 10, figure(taken), figure(each)])
    yield Table("chunks", "what a chunk costs whose rows cost nothing", columns, found)


def _peak(pid: int) -> float:
    """Return the most memory that a process ever had resident, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
