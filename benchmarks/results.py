"""What a section measured, with all that a reader needs to judge it: a file each in `benchmarks/results/`."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import msgspec
import psutil

from benchmarks.tables import Table
from shared.settings import ROOT

DIRECTORY = ROOT / "benchmarks" / "results"

Load = tuple[float, float, float]
"""Of the last 1, 5 and 15 minutes."""


class Machine(msgspec.Struct, frozen=True):
    """Nothing in it says whose or where."""

    processor: str
    cores: int
    memory_gb: int
    system: str
    python: str

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' * (self.cores > 1)}"
        return f"{self.processor}, {cores}, {self.memory_gb} GB, {self.system}, Python {self.python}"


class Result(msgspec.Struct, frozen=True):
    section: str
    date: str
    commit: str
    command: str
    quick: bool
    """One short round: it shows that the section works."""
    seconds: float
    machine: Machine
    load_before: Load
    load_after: Load
    versions: dict[str, str]
    """Of what was measured, by its name."""
    tables: list[Table]


def read_results(directory: Path = DIRECTORY) -> dict[str, Result]:
    """Return what there is, by section."""
    found = [msgspec.json.decode(path.read_bytes(), type=Result) for path in sorted(directory.glob("*.json"))]
    return {result.section: result for result in found}


def write_result(result: Result, directory: Path = DIRECTORY) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{result.section}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def this_machine() -> Machine:
    memory = round(psutil.virtual_memory().total / 2**30)
    system = f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}"
    return Machine(_processor(), os.cpu_count() or 1, memory, system, platform.python_version())


def this_commit() -> str:
    """Return the commit that is checked out, and whether what is measured differs from it."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return "unknown"

    def ask(*arguments: str) -> str:
        return subprocess.run([git, *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    commit = ask("rev-parse", "--short", "HEAD")
    return commit + (" with changes" if ask("status", "--porcelain", "--", "services", "shared", "tasador") else "")


def load_average() -> Load:
    one, five, fifteen = os.getloadavg()
    return round(one, 1), round(five, 1), round(fifteen, 1)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
