"""The isolated engine as a real process, with rows that it cannot survive."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared import artifact
from shared.engine import Model, load_model
from shared.engines import KERNEL, ONNXRUNTIME
from shared.isolation import CannotIsolate, IsolatedEngine, RowsFailed
from shared.settings import ROOT
from shared.store import Store
from tests.artifacts import an_artifact
from tests.faulty import EXIT_CODE, Faults, environment
from tests.kernels import compiled, needs_compiler
from tests.waiting import eventually

POISON = 666.0
PATIENCE = 30.0  # seconds that a question may take which is to be answered


@pytest.fixture(params=[ONNXRUNTIME, pytest.param(KERNEL, marks=needs_compiler)])
async def onnx(store: Store, request: pytest.FixtureRequest) -> bytes:
    if request.param == KERNEL:
        compiled()
    await an_artifact(store, engine=request.param)
    return (await artifact.fetch(store, "model", "1")).onnx


@pytest.fixture
async def model(onnx: bytes, store: Store) -> Model:
    model = load_model(await artifact.fetch(store, "model", "1"))
    assert model.engine.name == model.manifest.engine
    return model


def rows(model: Model, count: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(0.0, 3.0, (count, len(model.signature.features)))


def libraries(pid: int) -> str:
    """Return the files that a process has mapped, with much else."""
    return Path(f"/proc/{pid}/maps").read_text()


class Engines:
    """Starts engines that misbehave, and ends them."""

    def __init__(self, onnx: bytes, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        self._name, self._onnx = model.engine.name, onnx
        self._control = rows(model, 3)
        self._monkeypatch = monkeypatch
        self.started: list[IsolatedEngine] = []

    async def start(self, faults: Faults | None = None, control: NDArray[np.float64] | None = None) -> IsolatedEngine:
        for name, value in environment(faults or Faults()).items():
            self._monkeypatch.setenv(name, value)
        engine = await IsolatedEngine.start(self._name, self._onnx, self._control if control is None else control)
        self.started.append(engine)
        return engine


@pytest.fixture
async def engines(onnx: bytes, model: Model, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engines]:
    engines = Engines(onnx, model, monkeypatch)
    yield engines
    for engine in engines.started:
        await engine.end()


async def test_it_finds_the_same_bits(engines: Engines, model: Model) -> None:
    engine = await engines.start()
    for x in (rows(model, 5_000), rows(model, 1), rows(model, 200)[::-2]):
        assert (await engine.predict(x, PATIENCE)).tobytes() == model.predict(np.ascontiguousarray(x)).tobytes()


async def test_it_loads_the_engine_that_the_rows_met_outside_and_no_other(engines: Engines, model: Model) -> None:
    engine = await engines.start()
    loaded = libraries(engine.pid)
    assert ("onnxruntime" in loaded) == (model.engine.name == ONNXRUNTIME)
    assert ("/shared/kernel/kernel-" in loaded) == (model.engine.name == KERNEL)


@pytest.mark.parametrize(
    ("faults", "seconds", "reason"),
    [
        (Faults(exit_at=POISON), PATIENCE, f"the engine ended its process with code {EXIT_CODE}"),
        (Faults(segfault_at=POISON), PATIENCE, "the engine was killed by SIGSEGV"),
        (Faults(raise_at=POISON), PATIENCE, "the engine raised RuntimeError: it does not like this row"),
        (Faults(eat_at=POISON), PATIENCE, "the engine raised MemoryError: Unable to allocate 1.00 GiB"),
        (Faults(hang_at=POISON), 0.3, "the engine took longer than 0.3 s"),
        (Faults(freeze_at=POISON), 0.3, "the engine took longer than 0.3 s"),
    ],
)
async def test_it_survives_whatever_a_row_does(
    engines: Engines, model: Model, faults: Faults, seconds: float, reason: str
) -> None:
    engine = await engines.start(faults)
    x = rows(model, 100)
    poisoned = x.copy()
    poisoned[50, 0] = POISON
    for _ in range(2):
        with pytest.raises(RowsFailed) as failed:
            await engine.predict(poisoned, seconds)
        assert str(failed.value).startswith(reason)
    assert (await engine.predict(x, PATIENCE)).tobytes() == model.predict(x).tobytes()


async def test_one_that_fails_harmless_rows_proves_nothing(engines: Engines, model: Model) -> None:
    control = rows(model, 2)
    with pytest.raises(CannotIsolate, match="fails harmless rows"):
        await engines.start(Faults(exit_at=float(control[1, 0])), control)


async def test_a_graph_that_does_not_load_proves_nothing(model: Model) -> None:
    with pytest.raises(CannotIsolate):
        await IsolatedEngine.start(ONNXRUNTIME, b"no graph", rows(model, 1))


async def test_a_process_that_somebody_kills_proves_nothing(engines: Engines, model: Model) -> None:
    engine = await engines.start()
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(CannotIsolate):
        await engine.predict(rows(model, 1), PATIENCE)


async def test_it_ends_with_what_it_was_doing(engines: Engines, model: Model) -> None:
    engine = await engines.start(Faults(hang_at=POISON))
    x = np.full((1, len(model.signature.features)), POISON)
    asking = asyncio.create_task(engine.predict(x, PATIENCE))
    copies = await eventually(lambda: asyncio.sleep(0, children(engine.pid)))
    asking.cancel()
    await engine.end()
    await eventually(lambda: asyncio.sleep(0, not any(map(alive, [engine.pid, *copies]))))


COPY = "import os; from shared import isolation; isolation._predict(None, b'', {parent})"


@pytest.mark.parametrize(("parent", "code"), [("os.getppid()", 1), ("os.getppid() + 1", -signal.SIGKILL)])
def test_a_copy_whose_parent_died_before_the_kernel_knew_ends_at_once(parent: str, code: int) -> None:
    command = [sys.executable, "-c", COPY.format(parent=parent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "struct.error" in done.stderr) == (code, code == 1)  # it goes on to the question


async def test_it_knows_no_secret(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASADOR_REDIS_URL", "redis://:secret@127.0.0.1/0")
    for name in ("AWS_SECRET_ACCESS_KEY", "LANGUAGE_SERVICE_KEY", "LD_SDK_KEY", "HOMEBREW_TOKEN"):
        monkeypatch.setenv(name, "secret")
    engine = await engines.start()
    told = environment_of(engine.pid)
    assert b"PATH=" in told
    assert b"secret" not in told


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return False
