"""What is asked of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasador.torture.schedule import Kind


@dataclass(frozen=True)
class Limits:
    """How much to submit."""

    jobs: int
    """At a time."""
    most_rows: int = 100_000
    """Of a job."""


@dataclass(frozen=True)
class Order:
    """A run of `tasador torture`."""

    seconds: float
    seed: int
    kinds: Sequence[Kind]
    every: float
    """Seconds between two faults, on average."""
    limits: Limits
