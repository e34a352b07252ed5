"""The journey of the README on the example data, with what can go wrong on the way: all processes are real."""

import json
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest

from services.trainer.tracking import tracking
from shared.settings import ROOT
from tasador.client import Client
from tests.e2e.stack import STOP, LocalStack
from tests.waiting import nothing_waits

# About 6 s for 20,000 rows and two scorers: a fault sent half-way lands half-way.
CHUNK_ROWS = 200
ROWS_PER_SECOND = 1_700
ROWS = 20_000
LEASE = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    stack = LocalStack(
        tmp_path_factory.mktemp("boston"),
        gateway_chunk_rows=CHUNK_ROWS,
        scorer_max_rows_per_second=ROWS_PER_SECOND,
        scorer_lease_seconds=LEASE,
        scorer_janitor_seconds=1,
        presence_seconds=3,
        gateway_workers=2,
    )
    try:
        yield stack.start()
    finally:
        stack.kill()


@pytest.fixture
def client(stack: LocalStack) -> Iterator[Client]:
    with stack.client() as client:
        yield client


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(ROOT / "data" / "boston.csv").drop(columns="MEDV")


def as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def scikit_learn(stack: LocalStack, version: str, table: pd.DataFrame) -> np.ndarray:
    """What the registered pipeline itself predicts."""
    uri = f"sqlite:///{stack.state_dir / 'mlflow' / 'mlflow.db'}"
    with tracking(uri) as mlflow:
        pipeline = mlflow.sklearn.load_model(f"models:/boston-housing/{version}")
    prediction: np.ndarray = pipeline.predict(table.astype(float))
    return prediction


def many_rows(table: pd.DataFrame, directory: Path) -> tuple[Path, pd.DataFrame]:
    rows = table.sample(ROWS, replace=True, random_state=3).reset_index(drop=True)
    rows["RM"] += np.random.default_rng(3).normal(0, 0.1, ROWS).round(3)
    path = directory / "rows.csv"
    rows.to_csv(path, index=False)
    return path, rows


def half_done(client: Client, stack: LocalStack, job_id: str) -> None:
    stack.wait(lambda: client.job(job_id).rows.done >= ROWS // 4)
    assert client.job(job_id).rows.done <= ROWS * 3 // 4, "the fault must land inside the job"


def every_row_once(client: Client, job_id: str) -> np.ndarray:
    """Return the predictions of a finished job, having checked that nothing is missing, doubled or moved."""
    job = client.wait(job_id, timeout=120)
    assert job.state == "completed"
    assert (job.rows.total, job.rows.done, job.rows.failed) == (ROWS, ROWS, 0)
    results = list(client.results(job_id))
    assert [result.index for result in results] == list(range(ROWS))
    return np.array([result.prediction for result in results])


def test_every_path_gives_scikit_learns_own_number(stack: LocalStack, client: Client, table: pd.DataFrame) -> None:
    version = client.model_info().version
    expected = scikit_learn(stack, version, table)
    rows = as_rows(table)
    assert [client.predict(row).prediction for row in rows[:50]] == expected[:50].tolist()
    assert client.predict_batch(rows).predictions == expected.tolist()
    job = client.wait(client.submit(rows).id, timeout=60)
    assert [result.prediction for result in client.results(job.id)] == expected.tolist()


def settled(stack: LocalStack) -> dict[str, int]:
    """Return what the monitor has counted by mode, when nothing is on its way to it."""
    found: dict[str, int] = {}

    def is_settled() -> bool:
        answered = stack.get("gateway", "/health")["total_predictions"]
        settled = nothing_waits(stack.get("monitor", "/stats"))
        found.update(stack.get("monitor", "/stats")["lifetime"]["all"]["by_mode"])
        return settled and found["single"] + found["batch"] == answered

    stack.wait(is_settled)
    return found


def test_the_monitor_counts_every_prediction_of_every_path(
    stack: LocalStack, client: Client, table: pd.DataFrame
) -> None:
    before = settled(stack)
    rows = as_rows(table)
    for row in rows[:20]:
        client.predict(row)
    client.predict_batch(rows[:100])
    client.wait(client.submit(rows[:300]).id, timeout=60)
    added = {"single": 20, "batch": 100, "job": 300}

    def counted() -> bool:
        now = stack.get("monitor", "/stats")["lifetime"]["all"]["by_mode"]
        return {mode: now[mode] - before[mode] for mode in added} == added

    stack.wait(counted)
    assert set(stack.get("monitor", "/drift")["features"]) == set(table.columns)


def test_a_scorer_killed_half_way_costs_no_row(
    stack: LocalStack, client: Client, table: pd.DataFrame, tmp_path: Path
) -> None:
    path, rows = many_rows(table, tmp_path)
    job = client.submit(path)
    half_done(client, stack, job.id)
    stack.send("scorer-1", signal.SIGKILL)
    found = every_row_once(client, job.id)
    expected = client.predict_batch(as_rows(rows.head(500))).predictions
    assert found[:500].tolist() == expected


def test_a_retrained_model_takes_over_everywhere_while_requests_run(
    stack: LocalStack, client: Client, table: pd.DataFrame
) -> None:
    before = client.model_info()
    row = as_rows(table)[0]
    stop = threading.Event()
    answers: list[tuple[int, str]] = []

    def ask() -> None:
        with httpx.Client(base_url=client.base_url) as http:
            while not stop.is_set():
                answer = http.post("/predict", json=row)
                answers.append((answer.status_code, answer.json().get("model_version", "")))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        operation = client.wait_operation(client.retrain(reason="more data").id, timeout=200)
        assert operation.state == "succeeded", operation.detail
        assert operation.result["converged"]
        stack.wait(lambda: answers[-1][1] == operation.result["version"])
    finally:
        stop.set()
        asking.join()
    assert {status for status, _ in answers} == {200}
    versions = [version for _, version in answers]
    assert sum(a != b for a, b in pairwise(versions)) == 1, "one swap, and never back"
    assert (versions[0], versions[-1]) == (before.version, operation.result["version"])
    assert client.replicas().converged

    back = client.wait_operation(client.rollback(reason="as it was").id, timeout=60)
    assert back.result["version"] == before.version
    assert client.predict(row).model_version == before.version


def test_predictions_go_on_and_jobs_resume_when_valkey_is_killed(
    stack: LocalStack, client: Client, table: pd.DataFrame, tmp_path: Path
) -> None:
    path, _ = many_rows(table, tmp_path)
    job = client.submit(path)
    half_done(client, stack, job.id)
    stack.send("valkey", signal.SIGKILL)
    for _ in range(20):
        client.predict(as_rows(table)[0])
    every_row_once(client, job.id)


def test_accepted_jobs_finish_although_valkey_lost_everything(
    stack: LocalStack, client: Client, table: pd.DataFrame, tmp_path: Path
) -> None:
    path, _ = many_rows(table, tmp_path)
    job = client.submit(path)
    half_done(client, stack, job.id)
    with stack.redis() as redis:
        redis.flushall()
    assert client.job(job.id).id == job.id  # known, not 404
    every_row_once(client, job.id)
    stack.wait(lambda: client.health().status == "healthy")


def test_torture_breaks_it_and_finds_every_promise_kept(stack: LocalStack) -> None:
    options = {"--minutes": "0.3", "--every": "3", "--jobs": "2", "--rows": "4000", "--seed": "1", "-o": "json"}
    done = stack.tasador("torture", "--flush", *(word for option in options.items() for word in option))
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["held"] is True
    assert sum(found["faults"]["done"].values()) == 6
    assert found["faults"]["while_jobs_ran"] > 0
    tested = {promise["name"] for promise in found["promises"] if promise["checked"]}
    assert {"ends", "known", "rows", "values", "counts", "progress", "unknown", "answers", "predictions"} <= tested


def test_what_was_stopped_is_found_again_and_not_trained_again(stack: LocalStack, client: Client) -> None:
    pids = stack.pids()
    models = [model.version for model in client.models().versions]
    jobs = {job.id for job in client.jobs().jobs}
    assert stack.stop() == 0, f"within {STOP} s"
    assert not [name for name, pid in pids.items() if psutil.pid_exists(pid)]
    stack.start()
    with stack.client() as again:
        assert [model.version for model in again.models().versions] == models
        assert {job.id for job in again.jobs().jobs} == jobs
    assert "cross-validation" not in stack.output()
