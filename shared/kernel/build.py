"""Compiles our C: `python -m shared.kernel.build`. Installing does so; nothing else ever does.

The result lies beside the source. Its name says what it was made from and for, so that one that is out of date, or from
another machine, is not found.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = tuple(HERE / name for name in ("kernel.c", "walk.h", "cells.c", "instances.c", "plain.h"))
# Every operation is rounded by itself, as numpy does, on every machine of a kind: nothing fused, nothing native.
FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-fast-math", "-fvisibility=default")
COMMAND = "python -m shared.kernel.build"
_COMPILERS = ("cc", "gcc", "clang")


class BuildFailed(RuntimeError):
    """There is no compiler, or it does not compile; the message says which."""


def library_path() -> Path:
    """Return where the library for these sources and this machine is, if it is."""
    made_from = hashlib.sha256("\n".join(FLAGS).encode())
    for source in SOURCES:
        made_from.update(source.read_bytes())
    return HERE / f"{_machine()}-{made_from.hexdigest()[:16]}.so"


def build() -> Path:
    """Compile, unless it is there already, and return where it is. Raises BuildFailed."""
    path = library_path()
    if not path.exists():
        compile_to(path)
        for stale in HERE.glob(f"{_machine()}-*.so"):
            if stale != path:
                stale.unlink(missing_ok=True)
    return path


def compile_to(path: Path, *flags: str) -> None:
    """Compile with more flags than usual, if any. Raises BuildFailed."""
    command = [find_compiler(), *FLAGS, *flags, *(str(source) for source in SOURCES if source.suffix == ".c")]
    try:
        # Under another name first: whoever finds the library finds all of it.
        with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as directory:
            made = Path(directory) / path.name
            done = subprocess.run([*command, "-o", str(made)], capture_output=True, text=True, check=False, timeout=300)
            if done.returncode:
                raise BuildFailed(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
            os.replace(made, path)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildFailed(f"{command[0]} cannot be used to write {path}: {error}") from error


def find_compiler() -> str:
    """Return the C compiler: the one that CC names, or what the PATH has. Raises BuildFailed."""
    asked = os.environ.get("CC")
    for name in [asked] if asked else _COMPILERS:
        if found := shutil.which(name):
            return found
    raise BuildFailed(
        f"no C compiler: {asked or ', '.join(_COMPILERS)} is not on the PATH (Debian: apt install gcc libc6-dev)"
    )


def _machine() -> str:
    libc, _ = platform.libc_ver()
    return "-".join(filter(None, ("kernel", sys.platform, platform.machine(), libc)))


def main() -> None:
    try:
        path = build()
    except BuildFailed as failed:
        sys.exit(f"The kernel was not compiled; trees are served by onnxruntime. {failed}")
    print(path)  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
