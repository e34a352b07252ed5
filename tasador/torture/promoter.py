"""Promotions while everything else goes on."""

import threading
import time

from tasador.client import Client, NotFound, TasadorError
from tasador.torture.history import Converged, History, Promoted
from tasador.torture.oracle import Oracle
from tasador.torture.target import Impossible, Nothing

REASON = "tasador torture"
PATIENCE = 120.0
"""Seconds in which a promotion must have ended, and in which replicas must agree once nothing is broken any more."""


class Promoter:
    """Puts one version after the other into service, one at a time.

    Args:
        first: the version that serves now, and shall in the end.
    """

    def __init__(self, client: Client, history: History, oracle: Oracle, first: str) -> None:
        self._client = client
        self._history = history
        self._oracle = oracle
        self._first = self._now = first
        self._versions = [each.version for each in client.models().versions]
        self._running: threading.Thread | None = None

    def check(self) -> None:
        """Raises Impossible: there is only one version."""
        if len(self._versions) < 2:
            raise Impossible("there is only one version to promote: `tasador train` makes another")

    def next(self) -> str:
        """Ask for another version and return it; what becomes of it is noted later. Raises Nothing: not now."""
        if self._running and self._running.is_alive():
            raise Nothing("the last promotion has not ended")
        version = self._versions[(self._versions.index(self._now) + 1) % len(self._versions)]
        self._ask(version)
        return version

    def back(self) -> None:
        """Put the first version back, and see whether all replicas agree in the end."""
        self._wait()
        deadline = time.monotonic() + PATIENCE
        while self._now != self._first and time.monotonic() < deadline:
            try:
                self._ask(self._first)
            except Nothing:
                time.sleep(1)
            self._wait()
        while not (agreed := self._agree()) and time.monotonic() < deadline:
            time.sleep(0.5)
        self._history.note(Converged(at=self._history.now(), state=agreed))

    def _agree(self) -> bool:
        try:
            return self._client.replicas().converged
        except TasadorError:
            return False

    def _ask(self, version: str) -> None:
        asked = self._history.now()
        try:
            operation = self._client.promote(version, reason=REASON)
        except TasadorError as refused:
            raise Nothing(str(refused)) from refused
        self._running = threading.Thread(target=self._see_through, args=(operation.id, version, asked))
        self._running.start()

    def _see_through(self, operation: str, version: str, asked: float) -> None:
        try:
            state: str = self._client.wait_operation(operation, timeout=PATIENCE).state
        except NotFound:
            state = "forgotten"
        except TasadorError as problem:
            state = str(problem)
        self._history.note(Promoted(at=self._history.now(), asked=asked, version=version, state=state))
        try:
            self._now = self._oracle.learn(self._client)
        except TasadorError:
            return

    def _wait(self) -> None:
        if self._running:
            self._running.join()
