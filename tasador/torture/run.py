"""`tasador torture`: schedule, load and injector together, for some minutes."""

import threading
import time
from collections.abc import Callable

from services.scorer.settings import ScorerSettings
from shared.signature import Signature
from tasador.client import Client
from tasador.torture.history import Fault, History
from tasador.torture.injector import Injector, Lengths
from tasador.torture.load import Load
from tasador.torture.oracle import Oracle
from tasador.torture.order import Order
from tasador.torture.promoter import Promoter
from tasador.torture.schedule import rounds
from tasador.torture.target import Impossible, LocalStack

IDLE = 5.0
"""Seconds after which a fault waits no longer for a job that it could meet."""
END_PATIENCE = 180.0
"""Seconds after the last fault in which every accepted job must end."""


def torture(stack: LocalStack, order: Order, history: History, tell: Callable[[Fault], None]) -> None:
    """Break the stack for as long as ordered, and note everything.

    Raises:
        NotHere, Impossible: before anything was broken.
        TasadorError: the stack does not answer at all.
    """
    url = stack.state.gateway_url
    if {"redis", "flush", "slow"} & set(order.kinds) and stack.valkey() is None:
        raise Impossible("this stack uses a Redis of its own, which is not ours to break: --faults kill,pause")
    if len(stack.workers()) < 2 and "pause" in order.kinds:
        raise Impossible("pausing the only scorer stops all work: start another (--scorers 2), or --faults kill")
    with Client(url) as client:
        oracle = Oracle(Signature.model_validate(client.model_info().signature), order.seed)
        first = oracle.learn(client)
        promoter = Promoter(client, history, oracle, first)
        if "promote" in order.kinds:
            promoter.check()
        pauses = (0.2, 1.6 * ScorerSettings.load().scorer_lease_seconds)  # most of them outlast the lease
        injector = Injector(stack, history, Lengths(pauses), promote=promoter.next, tell=tell)
        load = Load(url, history, oracle, order.seed, order.limits, patience=END_PATIENCE)
        planned = rounds(order.seed, order.kinds, max(1, round(order.seconds / order.every)))
        with load.running():
            injector.run(planned, _progress(order.seconds, lambda: load.at_work), threading.Event())
            promoter.back()


def _progress(seconds: float, at_work: Callable[[], bool]) -> Callable[[], float]:
    """Return how much of the time has passed; it stands still for a moment while there is no work to disturb."""
    began = worked = time.monotonic()

    def progress() -> float:
        nonlocal worked
        now = time.monotonic()
        if at_work():
            worked = now
        elif now - worked < IDLE:
            return 0.0
        return (now - began) / seconds

    return progress
