"""Predictions that go on while something is done to the stack."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.compose.rows import Row
from tests.compose.stack import ComposeStack

CONNECTIONS = 4
PAUSE = 0.01  # seconds: two processors are there for the stack, too


@dataclass(frozen=True)
class Answer:
    row: int
    status: int | str
    """What was answered, or how the connection failed."""
    version: str = ""
    prediction: float | None = None


class Load:
    """Asks for single predictions through the proxy, over a few connections that stay open."""

    def __init__(self, stack: ComposeStack, rows: Sequence[Row]) -> None:
        self._stack = stack
        self._rows = rows
        self._stop = threading.Event()
        self.answers: list[Answer] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask, args=(first,)) for first in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def goes_on(self, answers: int = 200) -> None:
        """Return when so many more were answered."""
        due = len(self.answers) + answers
        self._stack.wait(lambda: len(self.answers) >= due)

    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != httpx.codes.OK]

    def _ask(self, row: int) -> None:
        with httpx.Client(base_url=self._stack.url("proxy"), timeout=30) as http:
            while not self._stop.wait(PAUSE):
                row = (row + 1) % len(self._rows)
                self.answers.append(self._answer(http, row))

    def _answer(self, http: httpx.Client, row: int) -> Answer:
        try:
            answer = http.post("/predict", json=self._rows[row])
        except httpx.HTTPError as error:
            return Answer(row, repr(error))
        if answer.status_code != httpx.codes.OK:
            return Answer(row, f"{answer.status_code} {answer.text}")
        said = answer.json()
        return Answer(row, 200, said["model_version"], said["prediction"])
