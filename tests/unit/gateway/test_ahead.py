"""Working ahead: in order, by little, and with errors where they belong."""

import threading
from collections.abc import Iterator

import pytest

from services.gateway.tables.ahead import WORKERS, ahead


def test_results_come_in_order_though_later_ones_are_done_first() -> None:
    second = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second.wait(60)
        if item == 1:
            second.set()
        return item

    assert list(ahead(work, range(20))) == list(range(20))


def test_few_items_are_taken_before_they_are_wanted() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = ahead(lambda item: item, items())
    for wanted in range(10):
        assert next(results) == wanted
        assert len(taken) <= wanted + WORKERS + 1


def test_an_error_is_raised_where_its_result_would_be() -> None:
    def work(item: int) -> float:
        return 1 / item

    results = ahead(work, [1, 2, 0, 4])
    assert [next(results), next(results)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_items_is_passed_on() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk")

    results = ahead(lambda item: item, items())
    with pytest.raises(OSError, match="the disk"):
        list(results)
