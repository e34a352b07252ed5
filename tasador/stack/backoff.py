"""How long to wait before a process that died is started again."""

from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Doubles from `first` to `longest`; a process that lived for `reset_after` starts from `first` again.

    All in seconds. There is no cap on the number of restarts: the cause may be mended while we wait.
    """

    first: float = 0.5
    longest: float = 10.0
    reset_after: float = 30.0
    _next: float = field(default=0.0, init=False)

    def after(self, lived: float) -> float:
        """Return the pause after a life of `lived` seconds."""
        if lived >= self.reset_after or not self._next:
            self._next = self.first
        pause = self._next
        self._next = min(self._next * 2, self.longest)
        return pause
