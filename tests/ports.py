"""Ports for servers that a test starts."""

import os
import random
import socket

# Below those that the kernel deals out to whoever asks for any: a test beside might get one before the server does.
FIRST, EACH, WORKERS = 12_000, 2_500, 8
"""Each of pytest's workers has ports of its own: a server that was killed wants the same one back."""

_chance = random.SystemRandom()  # the other one is seeded, in each worker with the same number
_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listened a moment ago, and that was not given to another test."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return so many, all different."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    found: list[int] = []
    for port in _chance.sample(range(FIRST + EACH * worker, FIRST + EACH * (worker + 1)), k=EACH):
        with socket.socket() as probe:
            if port not in _given and probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
        if len(found) == count:
            _given.update(found)
            return found
    raise AssertionError("all ports were given away")
