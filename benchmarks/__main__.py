"""`make bench`, or `python -m benchmarks [SECTION …]`: start a stack of its own, measure, print."""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.sections import SECTIONS
from tests.e2e.stack import LocalStack


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all when none is named")
    chosen = parser.parse_args().sections or list(SECTIONS)
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser.error(f"no section {', '.join(unknown)}: choose from {', '.join(SECTIONS)}")
    console = Console()
    with tempfile.TemporaryDirectory(prefix="tasador-bench-") as directory:
        stack = LocalStack(Path(directory))
        try:
            start = time.perf_counter()
            stack.start()
            load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
            console.print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load average {load}")
            console.print(f"first start, training included: {time.perf_counter() - start:.1f} s to ready\n")
            for name in chosen:
                console.print(SECTIONS[name](stack))
            stack.stop()
        finally:
            stack.kill()


if __name__ == "__main__":
    main()
