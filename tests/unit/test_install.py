"""`requirements/install.sh`, with an interpreter that only writes down what it was asked for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("install.sh", "bootstrap.txt", "stack.txt", "dev.txt", "bench.txt")
KERNEL = ("kernel.c", "walk.h", "build.py")
INTERPRETER = """\
#!/bin/sh
echo "$@" >>"$CALLS"
case "$*" in
*version_info*) [ "${OLD:-}" = "" ] ;;
--version) echo Python 3.9.18 ;;
"-m shared.kernel.build") echo compiled; [ "${NO_COMPILER:-}" = "" ] ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && [ "${INTERRUPTED:-}" = "" ] ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A place with the script, its locks, and the interpreter."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "shared/kernel").mkdir(parents=True)
    kernel = [f"shared/kernel/{each}" for each in KERNEL]
    for name in ("pyproject.toml", *(f"requirements/{each}" for each in FILES), *kernel):
        shutil.copy(ROOT / name, tmp_path / name)
    interpreter = tmp_path / "interpreter"
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    return tmp_path


def install(
    checkout: Path, lock: str = "stack", **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run it; return what came of it, and what the interpreter was asked for."""
    calls = checkout / "calls"
    calls.write_text("")
    variables = {**os.environ, "PYTHON": str(checkout / "interpreter"), "CALLS": str(calls), **environment}
    command = ["sh", "requirements/install.sh", lock]
    done = subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, check=False)
    return done, calls.read_text().splitlines()


def creations(calls: list[str]) -> int:
    return sum(call.startswith("-m venv") for call in calls)


def test_an_environment_is_made_once_and_then_left_alone(checkout: Path) -> None:
    done, calls = install(checkout)
    assert done.returncode == 0
    assert creations(calls) == 1
    done, calls = install(checkout)
    assert (done.returncode, done.stdout, done.stderr, calls) == (0, "", "", [])


def test_an_environment_whose_making_was_interrupted_is_made_anew(checkout: Path) -> None:
    done, _ = install(checkout, INTERRUPTED="yes")
    assert done.returncode == 1
    assert (checkout / ".venv/bin/python").exists()  # half an environment, which looks like one
    done, calls = install(checkout)
    assert done.returncode == 0
    assert creations(calls) == 1


def test_a_changed_lock_is_installed_into_the_environment_that_is_there(checkout: Path) -> None:
    install(checkout)
    lock = checkout / "requirements/stack.txt"
    lock.write_text(lock.read_text() + "# changed\n")
    done, calls = install(checkout)
    assert done.returncode == 0
    assert creations(calls) == 0
    assert any("uv pip install" in call for call in calls)


def test_the_kernel_is_compiled_and_again_when_its_source_has_changed(checkout: Path) -> None:
    done, calls = install(checkout)
    assert "-m shared.kernel.build" in calls
    assert "compiled" not in done.stdout
    source = checkout / "shared/kernel/walk.h"
    source.write_text(source.read_text() + "/* changed */\n")
    assert "-m shared.kernel.build" in install(checkout)[1]
    assert install(checkout)[1] == []


def test_a_kernel_that_cannot_be_compiled_keeps_nobody_from_anything(checkout: Path) -> None:
    done, _ = install(checkout, NO_COMPILER="yes")
    assert done.returncode == 0
    assert install(checkout)[1] == []


def test_a_python_that_is_too_old_is_named(checkout: Path) -> None:
    done, calls = install(checkout, OLD="yes")
    assert done.returncode == 1
    assert "needs Python 3.11 or newer, and found: Python 3.9.18" in done.stderr
    assert creations(calls) == 0


@pytest.mark.parametrize(("lock", "holds"), [("dev", ("stack",)), ("bench", ("dev", "stack"))])
def test_a_lock_holds_those_before_it(checkout: Path, lock: str, holds: tuple[str, ...]) -> None:
    install(checkout, lock)
    for smaller in holds:
        assert install(checkout, smaller)[1] == []
    _, calls = install(checkout, "bench")
    assert bool(calls) == (lock != "bench")
