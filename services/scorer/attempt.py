"""One attempt at an entry."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from services.scorer.lease import ChunkLease
from shared.scripts import Held


@dataclass(frozen=True)
class Attempt:
    held: Held
    deliveries: int
    """How often the chunk was handed to a scorer, this time included."""
    lease: ChunkLease
    suspect: bool = False
    """Rows of its job were given up before."""
    letters: int = 0
    """Dead letters of its job so far."""
    scored: Callable[[], None] = lambda: None
    """Says that the engine is free for the next entry."""
    started: float = field(default_factory=time.monotonic)

    @property
    def isolated(self) -> bool:
        """Whether one of its rows may kill the process: an attempt before this one ended without result."""
        return self.suspect or self.deliveries > 1

    @property
    def context(self) -> dict[str, object]:
        """What every log line of this attempt carries."""
        return {**self.held.context, "deliveries": self.deliveries}
