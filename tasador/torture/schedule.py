"""When to do what to whom: the same seed gives the same schedule."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["kill", "pause", "redis", "slow", "flush", "promote"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_FLUSH_BY = 0.1


@dataclass(frozen=True, order=True)
class Planned:
    """One fault."""

    at: float
    """How far the work is by then, from 0 to 1."""
    kind: Kind
    choice: float
    """Which of those it could hit, from 0 to 1."""
    length: float
    """How long it lasts, from 0 (short) to 1 (long), if it lasts."""


def schedule(seed: int, counts: Mapping[Kind, int], *, flush_early: bool = False) -> list[Planned]:
    """Return faults spread over the work in random order, and so that none comes at its very end.

    Args:
        flush_early: a flush comes before anything else: work that is not finished starts anew with it.
    """
    chance = random.Random(seed)
    kinds = [kind for kind in KINDS for _ in range(counts.get(kind, 0)) if not (flush_early and kind == "flush")]
    chance.shuffle(kinds)
    flushes = counts.get("flush", 0) if flush_early else 0
    first = [_planned(chance, chance.uniform(0.02, _FLUSH_BY), "flush") for _ in range(flushes)]
    return sorted([*first, *_spread(chance, kinds, _FLUSH_BY if first else 0.02, 0.92)])


def rounds(seed: int, kinds: Sequence[Kind], count: int) -> list[Planned]:
    """Return `count` faults, each of a kind drawn from `kinds`."""
    chance = random.Random(seed)
    return _spread(chance, chance.choices(kinds, k=count), 0.02, 0.95)


def _spread(chance: random.Random, kinds: Sequence[Kind], start: float, end: float) -> list[Planned]:
    """One in each of as many equal spans, anywhere in it."""
    span = (end - start) / max(len(kinds), 1)
    return [_planned(chance, start + span * (n + chance.random()), kind) for n, kind in enumerate(kinds)]


def _planned(chance: random.Random, at: float, kind: Kind) -> Planned:
    return Planned(at, kind, chance.random(), chance.random())
