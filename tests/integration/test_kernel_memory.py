"""The kernel under AddressSanitizer and UndefinedBehaviorSanitizer, with sound, random and damaged graphs."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel import build
from shared.settings import ROOT
from tests.kernels import Matrix, forests, linear_models, needs_compiler

SANITIZE = ("-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
DAMAGED_EACH = 25


def _compiler_is_gcc() -> bool:
    said = subprocess.run([build.find_compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    return "Free Software Foundation" in said


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not _compiler_is_gcc():
        pytest.skip("the sanitizers of other compilers are started in other ways")
    path = tmp_path_factory.mktemp("sanitized") / "kernel.so"
    build.compile_to(path, *SANITIZE)
    return path


def run(library: Path, corpus: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `tests.sanitized`; Python itself is not instrumented, so the sanitizer has to be there before it."""
    compiler = build.find_compiler()
    names = ("libasan.so", "libubsan.so")
    preloaded = [subprocess.check_output([compiler, f"-print-file-name={n}"], text=True).strip() for n in names]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(preloaded),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "PYTHONMALLOC": "malloc",
    }
    command = [sys.executable, "-m", "tests.sanitized", str(library), str(corpus), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=100)


def told(done: "subprocess.CompletedProcess[str]") -> list[int]:
    return [int(word) for word in done.stdout.replace(",", "").split() if word.isdigit()]


def write_corpus(directory: Path, count: int) -> None:
    @settings(max_examples=count, derandomize=True, database=None, deadline=None)
    @given(st.one_of(forests(), linear_models()))
    def write(case: tuple[bytes, Matrix]) -> None:
        name = f"{len(list(directory.glob('*.onnx'))):03}"
        (directory / f"{name}.onnx").write_bytes(case[0])
        np.save(directory / f"{name}.npy", case[1])

    write()


@pytest.mark.slow
@needs_compiler
def test_no_graph_makes_it_touch_what_is_not_its_own(library: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path, 40)
    chance = random.Random(0)
    for path in sorted(tmp_path.glob("*.onnx")):
        for copy in range(DAMAGED_EACH):
            altered = bytearray(path.read_bytes())
            for _ in range(chance.randint(1, 4)):
                altered[chance.randrange(len(altered))] = chance.randrange(256)
            path.with_name(f"{path.stem}-{copy}.onnx").write_bytes(altered)
            path.with_name(f"{path.stem}-{copy}.npy").symlink_to(path.with_suffix(".npy"))

    done = run(library, tmp_path)

    assert done.returncode == 0, done.stderr[-5000:]
    ran, refused, *_ = told(done)
    assert ran > 100  # damaged ones among them: most bytes are those of numbers
    assert refused > 100


@needs_compiler
def test_no_text_makes_it_touch_what_is_not_its_own(library: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    pieces = [",", ",", "\n", "1.5,z,a,x\n", "1", "-", ".", "e", "0", "a", "bb", "ü", "c" * 40, " ", "\r", "\0"]
    pieces += ["12345678", "9" * 19, "1e-300", "NA", "x", "1e30", "4.35", "0" * 25]
    for number in range(500):
        text = "".join(chance.choices(pieces, k=chance.randint(0, 40)))
        (tmp_path / f"{number}.csv").write_bytes(text.encode()[chance.randint(0, 3) :])
    (tmp_path / "odd.csv").write_bytes(b"1\n" * 10_000)  # more of them than there is room for
    members = ['"size":1.5', '"kind": "bb"', '"kind": null', '"size":12345678e-3', '"absent":0', '"zone":"y"']
    marks = [*pieces, '"', "{", "}", ":", "[", "]"]
    for number in range(500):
        rows = [
            [*chance.choices(members, k=chance.choice((0, 1, 2))), '"zone": "x"'] for _ in range(chance.choice((1, 4)))
        ]
        body = f'{{"instances": [{",".join("{" + ", ".join(row) + "}" for row in rows)}]}}'
        for _ in range(chance.choice((0, 1, 2))):
            at = chance.randrange(len(body))
            body = body[:at] + chance.choice(marks) + body[at + chance.randint(0, 2) :]
        cut = chance.choice((len(body), len(body), chance.randrange(len(body))))
        (tmp_path / f"{number}.json").write_bytes(body[:cut].encode())
    more = '{"absent": 0, "size": 1, "kind": "a", "zone": "x", "size": 2}'  # members than there are places
    (tmp_path / "more.json").write_text(f'{{"instances": [{more}]}}')

    done = run(library, tmp_path)

    assert done.returncode == 0, done.stderr[-5000:]
    _, _, plain, odd, taken = told(done)
    assert plain > 100
    assert odd > 100
    assert taken > 30


@needs_compiler
def test_a_row_too_many_is_noticed(library: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path, 1)

    done = run(library, tmp_path, "overrun")

    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
