"""Two gateways on one port, started by the launcher: what a caller sees of there being two, in good and bad moments."""

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.artifact import Champion, write_champion
from shared.store import Store
from tests.artifacts import a_champion, an_artifact
from tests.e2e.stack import LocalStack
from tests.faulty import Faults, environment
from tests.waiting import NO_TLS

WORKERS = ("gateway-1", "gateway-2")
JSON = {"accept": "application/json"}

pytestmark = pytest.mark.slow


class Workers(LocalStack):
    """Two gateways and a scorer."""

    command = (sys.executable, "-m", "tests.chaos.up")

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, model_name="model", gateway_workers=2, scorers=1, poll_seconds=0.2)
        self._environment |= environment(Faults())
        self.store = Store.open((self.state_dir / "store").as_uri())
        asyncio.run(a_champion(self.store))

    @property
    def url(self) -> str:
        return str(self.described["gateway_url"])

    def own(self) -> list[str]:
        """Where each answers for itself."""
        return [each["address"] for each in self.described["processes"] if each["service"] == "gateway"]

    def become_ready(self, *, but: int | None = None) -> None:
        """Wait until both are ready, and one process has gone."""

        def ready() -> bool:
            both = [each for each in self.described["processes"] if each["service"] == "gateway"]
            return all(each["state"] == "ready" and each["pid"] != but for each in both)

        self.wait(ready)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    stack = Workers(tmp_path_factory.mktemp("workers"))
    try:
        yield stack.start()
    finally:
        stack.kill()


@pytest.fixture(scope="module")
def row(stack: Workers) -> dict[str, Any]:
    features = get(stack.url, "/model/info").json()["signature"]["features"]
    return {feature["name"]: feature["example"] for feature in features}


def get(url: str, path: str, **headers: str) -> httpx.Response:
    """Ask on a connection of its own, so that any worker may take it."""
    return httpx.get(url + path, headers=headers, verify=NO_TLS, timeout=10).raise_for_status()


def predict(url: str, row: dict[str, Any]) -> str:
    answer = httpx.post(f"{url}/predict", json=row, verify=NO_TLS, timeout=10).raise_for_status()
    return str(answer.json()["model_version"])


def total(url: str) -> int:
    return int(get(url, "/metrics", **JSON).json()["total_predictions"])


class Asked:
    """What callers got meanwhile."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []
        """Status and version."""
        self.failed: list[str] = []


CALLERS = 6


@contextmanager
def callers(url: str, row: dict[str, Any]) -> Iterator[Asked]:
    """Ask without a pause: some keep their connection for as long as they may, others take a new one each time."""
    asked, stop = Asked(), threading.Event()

    def ask(keeps: bool) -> None:
        with httpx.Client(base_url=url, verify=NO_TLS, timeout=10) as kept:
            while not stop.is_set():
                headers = {} if keeps else {"connection": "close"}
                try:
                    answer = kept.post("/predict", json=row, headers=headers)
                except httpx.TransportError as error:
                    asked.failed.append(repr(error))
                else:
                    asked.answers.append((answer.status_code, answer.json().get("model_version", "")))

    threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_figures_are_those_of_all_whoever_is_asked(stack: Workers, row: dict[str, Any]) -> None:
    stack.wait(lambda: all(predict(stack.url, row) and total(own) for own in stack.own()))
    each = [total(own) for own in stack.own()]
    # A worker that is slow to answer another is told by what it said before.
    stack.wait(lambda: [total(stack.url) for _ in range(6)] == [sum(each)] * 6)
    stack.wait(lambda: {get(stack.url, "/health").json()["total_predictions"] for _ in range(6)} == {sum(each)})

    def counted(url: str) -> dict[str, float]:
        found = text_string_to_metric_families(get(url, "/metrics").text)
        (family,) = (family for family in found if family.name == "tasador_gateway_predictions")
        return {sample.labels.get("worker", ""): sample.value for sample in family.samples}

    stack.wait(lambda: counted(stack.url) == {"1": each[0], "2": each[1]})
    assert [counted(own) for own in stack.own()] == [{"": each[0]}, {"": each[1]}]


def test_what_waits_at_a_worker_that_hangs_is_taken_by_the_other(stack: Workers, row: dict[str, Any]) -> None:
    stack.send(WORKERS[0], signal.SIGSTOP)
    try:
        assert {predict(stack.url, row) for _ in range(20)} == {"1"}  # the kernel gave it half of them
        said = get(stack.url, "/health").json()
        assert (said["status"], [each["code"] for each in said["warnings"]]) == ("warning", ["worker_silent"])
    finally:
        stack.send(WORKERS[0], signal.SIGCONT)
    stack.wait(lambda: get(stack.url, "/health").json()["status"] == "healthy")


def test_a_worker_that_is_told_to_end_fails_nobody(stack: Workers, row: dict[str, Any]) -> None:
    first = stack.pids()[WORKERS[0]]
    with callers(stack.url, row) as asked:
        stack.wait(lambda: len(asked.answers) > 100)
        stack.send(WORKERS[0], signal.SIGTERM)
        stack.become_ready(but=first)
    assert asked.failed == []
    assert set(asked.answers) == {(200, "1")}


def test_a_killed_worker_costs_what_it_had_in_hand_and_comes_back_with_the_current_version(
    stack: Workers, row: dict[str, Any]
) -> None:
    digest = asyncio.run(an_artifact(stack.store, "model", "2", seed=1))
    asyncio.run(write_champion(stack.store, "model", Champion(version="2", epoch=2, digest=digest)))
    stack.wait(lambda: all(predict(own, row) == "2" for own in stack.own()))
    second = stack.pids()[WORKERS[1]]
    with callers(stack.url, row) as asked:
        stack.wait(lambda: len(asked.answers) > 100)
        stack.send(WORKERS[1], signal.SIGKILL)
        stack.become_ready(but=second)
        back = stack.own()[1]
        stack.wait(lambda: total(back) > 0)
    assert len(asked.failed) <= CALLERS
    assert set(asked.answers) == {(200, "2")}
