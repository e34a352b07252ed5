"""Schedules are repeatable, and the injector does what they say to whom it can."""

import signal
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tasador.torture.history import Fault, History
from tasador.torture.injector import Injector, Lengths
from tasador.torture.schedule import Kind, Planned, rounds, schedule

COUNTS: dict[Kind, int] = {"kill": 20, "pause": 10, "redis": 2, "flush": 1}


def test_a_seed_decides_everything() -> None:
    assert schedule(1, COUNTS) == schedule(1, COUNTS)
    assert schedule(1, COUNTS) != schedule(2, COUNTS)
    assert rounds(1, ["kill", "slow"], 9) == rounds(1, ["kill", "slow"], 9)


@pytest.mark.parametrize("seed", range(20))
def test_everything_is_done_once_and_before_the_end(seed: int) -> None:
    planned = schedule(seed, COUNTS, flush_early=True)
    assert Counter(each.kind for each in planned) == COUNTS
    assert planned == sorted(planned)
    assert planned[0].kind == "flush"
    assert 0 < planned[0].at <= planned[1].at
    assert planned[-1].at < 0.95


def test_rounds_are_of_the_kinds_asked_for() -> None:
    planned = rounds(1, ["kill", "slow"], 50)
    assert {each.kind for each in planned} == {"kill", "slow"}
    assert len(planned) == 50


@dataclass
class Somebody:
    name: str
    pid: int
    alive: bool = True
    got: list[signal.Signals] = field(default_factory=list)

    def send(self, number: signal.Signals) -> bool:
        if self.alive:
            self.got.append(number)
        return self.alive


@dataclass
class Stack:
    """A target that keeps what was done to it."""

    crew: list[Somebody]
    server: Somebody | None = None
    paused: list[float] = field(default_factory=list)
    flushed: int = 0
    refusals: int = 0
    """How often the server does not answer."""

    def workers(self) -> Sequence[Somebody]:
        return [each for each in self.crew if each.alive]

    def valkey(self) -> Somebody | None:
        return self.server

    def pause_redis(self, seconds: float) -> None:
        self.paused.append(seconds)

    def flush_redis(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RedisConnectionError("refused")
        self.flushed += 1


def a_crew(size: int = 2) -> list[Somebody]:
    return [Somebody(f"worker-{n}", n) for n in range(size)]


def inject(stack: Stack, *planned: Planned, pause: float = 0.0, patience: float = 60.0) -> list[Fault]:
    history = History()
    ticks = count()
    lengths = Lengths(pause=(pause, pause), slow=(1.0, 3.0))
    injector = Injector(stack, history, lengths, patience=patience)
    injector.run(planned, lambda: next(ticks) / 4, threading.Event())
    return history.of(Fault)


def test_kinds_do_what_they_say() -> None:
    stack = Stack(a_crew(), Somebody("valkey", 99))
    faults = inject(
        stack,
        Planned(0.1, "kill", 0.6, 0.0),
        Planned(0.2, "redis", 0.0, 0.0),
        Planned(0.3, "slow", 0.0, 0.5),
        Planned(0.4, "flush", 0.0, 0.0),
    )
    assert [(each.kind, each.target, each.skipped) for each in faults] == [
        ("kill", "worker-1 (pid 1)", ""),
        ("redis", "valkey (pid 99)", ""),
        ("slow", "redis for 2.0 s", ""),
        ("flush", "redis", ""),
    ]
    assert stack.crew[1].got == [signal.SIGKILL]
    assert stack.server
    assert stack.server.got == [signal.SIGKILL]
    assert (stack.paused, stack.flushed) == ([2.0], 1)
    assert all(each.began <= each.at for each in faults)


def test_who_is_paused_goes_on_and_is_not_hit_meanwhile() -> None:
    stack = Stack(a_crew())
    inject(stack, Planned(0.0, "pause", 0.0, 0.0), Planned(0.1, "kill", 0.0, 0.0), pause=0.3)
    assert stack.crew[0].got == [signal.SIGSTOP, signal.SIGCONT]
    assert stack.crew[1].got == [signal.SIGKILL]


def test_nobody_is_left_paused_when_it_is_stopped() -> None:
    stack, stop = Stack(a_crew()), threading.Event()
    history = History()
    injector = Injector(stack, history, Lengths(pause=(3600, 3600)), tell=lambda fault: stop.set())
    injector.run([Planned(0.0, "pause", 0.0, 0.0), Planned(2.0, "kill", 0.0, 0.0)], lambda: 1.0, stop)
    assert [each.kind for each in history.of(Fault)] == ["pause"]
    assert stack.crew[0].got == [signal.SIGSTOP, signal.SIGCONT]


def test_a_server_that_does_not_answer_is_asked_again() -> None:
    stack = Stack(a_crew(), refusals=3)
    (fault,) = inject(stack, Planned(0.0, "flush", 0.0, 0.0))
    assert (stack.flushed, fault.skipped) == (1, "")


@pytest.mark.parametrize(
    ("kind", "why"),
    [("kill", "nobody is ready"), ("redis", "no server of our own runs"), ("promote", "there is no other version")],
)
def test_what_cannot_be_done_is_told(kind: Kind, why: str) -> None:
    (fault,) = inject(Stack([]), Planned(0.0, kind, 0.0, 0.0), patience=0.0)
    assert fault.skipped == why


def test_the_last_one_at_work_is_not_paused() -> None:
    stack = Stack(a_crew(1))
    (fault,) = inject(stack, Planned(0.0, "pause", 0.0, 0.0), patience=0.0)
    assert fault.skipped
    assert stack.crew[0].got == []
