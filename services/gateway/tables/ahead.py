"""Doing the next pieces of work while the last one is used, with few of them in memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

WORKERS = 2  # Arrow lets go of the interpreter for four fifths of a block: a third one would wait for it

T = TypeVar("T")
R = TypeVar("R")


def ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield `work(item)` in the order of the items, two at a time.

    An error is raised where its result would be. At most three results wait; `items` is read by the caller's thread.
    """
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="table") as workers:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(workers.submit(work, item))
            if len(waiting) > WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
