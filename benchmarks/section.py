"""What a section is: a measurement with a name, how long it takes, and what it is given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from benchmarks.tables import Table


@dataclass(frozen=True)
class Run:
    directory: Path
    """For files and state; removed afterwards."""
    cache: Path
    """For what is worth keeping: the environments of rivals."""
    quick: bool
    """One short round: see that it works."""
    rows: int
    """Of the long jobs."""
    say: Callable[[str], None] = print
    versions: dict[str, str] = field(default_factory=dict)
    """A section adds what it measures."""

    def rounds(self, usual: int) -> int:
        return 1 if self.quick else usual

    def few(self, usual: int, quick: int) -> int:
        """How much of something to measure."""
        return quick if self.quick else usual


@dataclass(frozen=True)
class Section:
    where: str
    """`module:function`; its libraries are loaded, and its rivals needed, only to run it."""
    says: str
    minutes: float
    """It takes about so long on two cores, once what it needs is installed."""
    quick_minutes: float = 1.0
    short: bool = False
    """Run when none is named."""

    def measure(self, run: Run) -> Iterator[Table]:
        module, _, function = self.where.partition(":")
        measured: Iterator[Table] = getattr(import_module(module), function)(run)
        return measured

    def estimate(self, quick: bool) -> float:
        """Return minutes."""
        return self.quick_minutes if quick else self.minutes

    def limit(self, quick: bool) -> float:
        """Return the seconds after which it is ended: a busy machine, and environments to install, take longer."""
        return 60 * (2 * self.estimate(quick) + 10)
