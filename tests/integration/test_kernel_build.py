"""Compiling the kernel, and finding what was compiled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.kernel import build, library
from shared.kernel.build import BuildFailed
from shared.kernel.library import KernelMissing, open_library
from shared.settings import ROOT
from tests.kernels import COMPILED, needs_compiler


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The package alone, with nothing compiled."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/__init__.py").touch()
    shutil.copytree(ROOT / "shared/kernel", tmp_path / "shared/kernel", ignore=COMPILED)
    return tmp_path


def run(checkout: Path, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = {name: value for name, value in os.environ.items() if name != "CC"} | environment
    return subprocess.run(
        [sys.executable, *command],
        cwd=checkout,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def libraries(checkout: Path) -> list[str]:
    return sorted(path.name for path in (checkout / "shared/kernel").iterdir() if path.suffix == ".so")


@needs_compiler
def test_it_is_compiled_once(checkout: Path) -> None:
    done = run(checkout, "-S", "-m", "shared.kernel.build")  # -S: an image builds it before it has any package
    (name,) = libraries(checkout)
    assert done.stdout.strip().endswith(name), done.stderr

    again = run(checkout, "-m", "shared.kernel.build", CC="/bin/false")

    assert (again.returncode, again.stdout) == (0, done.stdout)
    open_library(checkout / "shared/kernel" / name)


@needs_compiler
def test_one_of_other_sources_is_not_found_and_goes(checkout: Path) -> None:
    run(checkout, "-m", "shared.kernel.build")
    (old,) = libraries(checkout)
    with (checkout / "shared/kernel/walk.h").open("a") as source:
        source.write("/* changed */\n")
    look = "from shared.kernel.library import load_library; load_library()"

    said = run(checkout, "-c", look).stderr
    assert "KernelMissing: the kernel is not compiled here, or not from the present sources" in said
    run(checkout, "-m", "shared.kernel.build")

    (new,) = libraries(checkout)
    assert new != old
    assert run(checkout, "-c", look).returncode == 0


def test_without_a_compiler_the_command_says_so_and_what_it_means(checkout: Path) -> None:
    done = run(checkout, "-m", "shared.kernel.build", PATH="")

    assert done.returncode == 1
    assert "trees are served by onnxruntime" in done.stderr
    assert "no C compiler: cc, gcc, clang is not on the PATH" in done.stderr
    assert libraries(checkout) == []


@needs_compiler
def test_sources_that_do_not_compile_leave_nothing_behind(checkout: Path) -> None:
    (checkout / "shared/kernel/walk.h").write_text("#error broken\n")

    done = run(checkout, "-m", "shared.kernel.build")

    assert done.returncode == 1
    assert "#error broken" in done.stderr
    assert [path.name for path in (checkout / "shared/kernel").iterdir() if path.name.startswith(".")] == []
    assert libraries(checkout) == []


def test_a_compiler_that_is_asked_for_is_used_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")

    with pytest.raises(BuildFailed, match="/nowhere/cc is not on the PATH"):
        build.find_compiler()


def test_what_is_no_library_of_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "kernel.so").write_bytes(b"not a library")

    with pytest.raises(KernelMissing, match=f"delete kernel.so, then {build.COMMAND}"):
        open_library(tmp_path / "kernel.so")


@needs_compiler
def test_the_library_is_loaded_once() -> None:
    build.build()

    assert library.load_library() is library.load_library()
