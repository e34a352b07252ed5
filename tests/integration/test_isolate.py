"""The isolated engine of a scorer: when it is started, kept and ended. The process is real."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.scorer import isolate
from services.scorer.inputs import Inputs
from services.scorer.isolate import Isolation
from services.scorer.patience import JobImpossible
from shared import artifact
from shared.engine import Model, load_model
from shared.follower import Models
from shared.isolation import CannotIsolate
from shared.jobs import JobSpec
from shared.settings import ROOT
from shared.store import Store
from tests.artifacts import an_artifact
from tests.builders import a_spec
from tests.faulty import Faults, environment
from tests.integration.test_isolation import POISON, alive, children, rows
from tests.waiting import eventually


@pytest.fixture
async def model(store: Store) -> Model:
    await an_artifact(store)
    return load_model(await artifact.fetch(store, "model", "1"))


@pytest.fixture
async def isolation(store: Store) -> AsyncIterator[Isolation]:
    isolation = Isolation(Inputs(store, Models(store, "model", 1), "model"), seconds=60)
    yield isolation
    await isolation.end()


def of(model: Model) -> JobSpec:
    return a_spec(100, model_version=model.version, model_digest=model.digest)


def process_of(isolation: Isolation) -> int:
    """Return the pid of its process, 0 without one."""
    return isolation._engine.pid if isolation._engine else 0


async def predicted(isolation: Isolation, model: Model, x: NDArray[np.float64]) -> int:
    """Have rows predicted and return the process that did."""
    bisection = await isolation.predict(of(model), x)
    assert bisection.predictions.tobytes() == model.predict(x).tobytes()
    return process_of(isolation)


async def test_one_process_serves_many_chunks_and_ends_when_none_needs_it(
    isolation: Isolation, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await predicted(isolation, model, rows(model, 100))
    assert await predicted(isolation, model, rows(model, 10)) == first
    monkeypatch.setattr(isolate, "IDLE_SECONDS", 0.05)
    assert await predicted(isolation, model, rows(model, 10)) == first
    await eventually(lambda: asyncio.sleep(0, not alive(first)))
    assert await predicted(isolation, model, rows(model, 10)) != first


async def test_another_version_has_another_process(isolation: Isolation, model: Model, store: Store) -> None:
    first = await predicted(isolation, model, rows(model, 10))
    await an_artifact(store, version="2", seed=2)
    other = load_model(await artifact.fetch(store, "model", "2"))
    assert await predicted(isolation, other, rows(model, 10)) != first
    assert not alive(first)


async def test_a_chunk_that_is_dropped_half_way_leaves_nothing_to_the_next(
    isolation: Isolation, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(Faults(hang_at=POISON)).items():
        monkeypatch.setenv(name, value)
    hanging = asyncio.create_task(isolation.predict(of(model), np.full((1, rows(model, 1).shape[1]), POISON)))
    first = await eventually(lambda: asyncio.sleep(0, process_of(isolation)))
    copies = await eventually(lambda: asyncio.sleep(0, children(first)))
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    await eventually(lambda: asyncio.sleep(0, not any(map(alive, [first, *copies]))))
    assert await predicted(isolation, model, rows(model, 10)) != first


async def test_a_process_that_is_killed_condemns_nobody_and_is_replaced(isolation: Isolation, model: Model) -> None:
    first = await predicted(isolation, model, rows(model, 10))
    os.kill(first, signal.SIGKILL)
    with pytest.raises(CannotIsolate):
        await isolation.predict(of(model), rows(model, 10))
    assert await predicted(isolation, model, rows(model, 10)) != first


async def test_without_its_version_the_job_is_impossible(isolation: Isolation, model: Model) -> None:
    with pytest.raises(JobImpossible, match="the model"):
        await isolation.predict(a_spec(100, model_version="404"), rows(model, 1))


OWNER = """
import asyncio, sys
import numpy as np
from shared.isolation import IsolatedEngine

async def main():
    engine = await IsolatedEngine.start("onnxruntime", open(sys.argv[1], "rb").read(), np.zeros((1, {width})))
    print(engine.pid, flush=True)
    await engine.predict(np.full((1, {width}), {poison}), 60.0)

asyncio.run(main())
"""


async def test_it_dies_with_its_owner_in_the_midst_of_a_question(model: Model, store: Store, tmp_path: Path) -> None:
    onnx = tmp_path / "model.onnx"
    onnx.write_bytes((await artifact.fetch(store, "model", "1")).onnx)
    program = OWNER.format(width=rows(model, 1).shape[1], poison=POISON)
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(onnx), cwd=ROOT, env=environment(Faults(hang_at=POISON)), stdout=-1
    )
    assert owner.stdout is not None
    pid = int(await owner.stdout.readline())
    copies = await eventually(lambda: asyncio.sleep(0, children(pid)))
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    await eventually(lambda: asyncio.sleep(0, not any(map(alive, [pid, *copies]))))
