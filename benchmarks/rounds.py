"""Rounds of load over several servers, in turns, each beside the first of them in the same round."""

from collections.abc import Sequence

from benchmarks.contestants import Contestant
from benchmarks.single_tables import Round
from benchmarks.wrk import load


def take_rounds(
    contestants: Sequence[Contestant], connections: int, rounds: int, seconds: float, longest: float
) -> dict[str, list[Round]]:
    """Return the rounds of each, by name.

    Args:
        seconds: of a round; a slow server gets more, up to `longest`, so that each connection has several answers.
    """
    long_enough = {one.name: _long_enough(one, connections, seconds, longest) for one in contestants}
    found: dict[str, list[Round]] = {one.name: [] for one in contestants}
    for _ in range(rounds):
        first = 0.0
        for one in contestants:
            before = one.busy()
            seen = load(one.url, one.bodies, connections, long_enough[one.name])
            first = first or seen.rate
            found[one.name].append(Round(seen, one.busy() - before, seen.rate / first))
    return found


ANSWERS = 4
"""To each connection, at least, in a round."""


def _long_enough(one: Contestant, connections: int, seconds: float, longest: float) -> float:
    """Warm a server up, and return the seconds of its rounds."""
    warm = load(one.url, one.bodies, connections, 1)
    return min(longest, max(seconds, ANSWERS * connections / max(warm.rate, 1)))
