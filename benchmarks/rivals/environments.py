"""An environment per rival, made from its lock where it is not there yet, or was made from another one."""

import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.settings import ROOT

LOCKS = ROOT / "requirements" / "rivals"
SECONDS_TO_INSTALL = 600
_STAMP = "made-from"


class NotInstalled(Exception):
    """A rival cannot be installed here."""


def environment(package: str, cache: Path) -> Path:
    """Return the directory of its programs. Raises NotInstalled."""
    lock, place = LOCKS / f"{package}.txt", cache / package
    made_from = f"{platform.python_version()} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    stamp, programs = place / _STAMP, place / "bin"
    if not (stamp.exists() and stamp.read_text() == made_from):
        shutil.rmtree(place, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(place)])
        _install(programs / "python", lock)
        stamp.write_text(made_from)
    return programs


def installed_version(programs: Path, package: str) -> str:
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    return _run([str(programs / "python"), "-c", asked]).strip()


def _install(python: Path, lock: Path) -> None:
    """As `requirements/install.sh` does: uv is quick, pip knows mirrors that nobody told uv of."""
    try:
        _run(
            [
                sys.executable,
                "-m",
                "uv",
                "pip",
                "install",
                "--quiet",
                "--python",
                str(python),
                "--require-hashes",
                "-r",
                str(lock),
            ]
        )
    except NotInstalled:
        _run([str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)])


def _run(command: Sequence[str]) -> str:
    """Raises NotInstalled."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_INSTALL, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"not installed within {SECONDS_TO_INSTALL} s") from None
    if done.returncode:
        raise NotInstalled(" ".join(done.stderr.split())[-300:] or f"exit code {done.returncode}")
    return done.stdout
