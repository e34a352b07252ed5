"""Looking whether something is there already, without waiting for it."""

from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Begun(Awaitable[T], Generic[T]):
    """An awaitable, taken as far as it goes at once. Await it for the rest, in the same task."""

    result: T
    """Once it is `done`."""

    def __init__(self, awaitable: Awaitable[T]) -> None:
        self._steps = awaitable.__await__()
        self._waits_for: Any = None
        self.done = False
        try:
            self._waits_for = next(self._steps)
        except StopIteration as end:
            self.done, self.result = True, end.value

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done:
            self.result = yield from self._rest()
            self.done = True
        return self.result

    def _rest(self) -> Generator[Any, Any, T]:
        """Go on as `yield from` would, one step later."""
        waits_for = self._waits_for
        try:
            while True:
                try:
                    sent = yield waits_for
                except GeneratorExit:
                    self._steps.close()
                    raise
                except BaseException as thrown:  # above all that the task is cancelled
                    waits_for = self._steps.throw(thrown)
                else:
                    waits_for = self._steps.send(sent)
        except StopIteration as end:
            result: T = end.value
            return result
