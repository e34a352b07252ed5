"""`make bench`, or `python -m benchmarks [SECTION …]`: start a stack of its own, measure, print."""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.engines import engines
from benchmarks.jobs.sections import SECTIONS as JOBS
from benchmarks.sections import SECTIONS
from tests.e2e.stack import LocalStack

ROWS = 1_000_000
ENGINE = "engine"  # needs no stack
SHORT = (*SECTIONS, ENGINE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", help=f"{', '.join(SHORT)} (when none is named), and, for minutes, {', '.join(JOBS)}"
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="size of the jobs of the long ones (%(default)s)")
    parser.add_argument("--directory", type=Path, help="disk for files and stacks; a temporary one by default")
    chosen = parser.parse_args()
    names = chosen.sections or list(SHORT)
    unknown = sorted(set(names) - {*SHORT, *JOBS})
    if unknown:
        parser.error(f"no section {', '.join(unknown)}: choose from {', '.join((*SHORT, *JOBS))}")
    console = Console()
    console.print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load average {_load()}\n")
    with tempfile.TemporaryDirectory(prefix="tasador-bench-", dir=chosen.directory) as directory:
        _short(console, Path(directory) / "stack", [name for name in names if name in SECTIONS])
        if ENGINE in names:
            console.print(*engines(), sep="\n")
        for name in names:
            if name in JOBS:
                (Path(directory) / name).mkdir()
                for table in JOBS[name](Path(directory) / name, chosen.rows):
                    console.print(table)
                    console.print(f"load average {_load()}\n")


def _short(console: Console, directory: Path, names: Sequence[str]) -> None:
    """Run the sections that share a stack."""
    if not names:
        return
    stack = LocalStack(directory)
    try:
        start = time.perf_counter()
        stack.start()
        console.print(f"first start, training included: {time.perf_counter() - start:.1f} s to ready\n")
        for name in names:
            console.print(SECTIONS[name](stack))
        stack.stop()
    finally:
        stack.kill()


def _load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


if __name__ == "__main__":
    main()
