"""Which rows a bisection condemns, and what that costs."""

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.bisect import Bisection, Rows
from shared.isolation import RowsFailed


class Engine:
    """Doubles its only feature, and cannot take some rows."""

    def __init__(self, poison: set[int], flaky: set[int] | None = None) -> None:
        self.asked = 0
        self.deaths: list[set[int]] = []
        self._poison = poison
        self._flaky = flaky or set()

    async def predict(self, x: Rows) -> Rows:
        self.asked += 1
        rows = {int(row) for row in x[:, 0]}
        if rows & (self._poison | self._flaky):
            self._flaky -= rows
            self.deaths.append(rows)
            raise RowsFailed("it died")
        return 2 * x[:, 0]


def bisected(rows: int, engine: Engine) -> Bisection:
    x = np.arange(float(rows)).reshape(-1, 1)
    bisection = Bisection(x, engine.predict)
    asyncio.run(bisection.run())
    return bisection


tables = st.integers(1, 300).flatmap(
    lambda rows: st.tuples(st.just(rows), st.sets(st.integers(0, rows - 1), max_size=8))
)


@given(tables)
def test_exactly_the_poison_rows_are_condemned_and_all_others_predicted(table: tuple[int, set[int]]) -> None:
    rows, poison = table
    engine = Engine(poison)
    bisection = bisected(rows, engine)
    assert [found.row for found in bisection.condemned] == sorted(poison)
    expected = [math.nan if row in poison else 2.0 * row for row in range(rows)]
    np.testing.assert_array_equal(bisection.predictions, expected)


@given(tables)
def test_each_costs_few_deaths_two_of_them_alone(table: tuple[int, set[int]]) -> None:
    rows, poison = table
    engine = Engine(poison)
    bisection = bisected(rows, engine)
    assert len(engine.deaths) <= len(poison) * (math.ceil(math.log2(rows)) + 2)
    for found in bisection.condemned:
        assert engine.deaths.count({found.row}) == 2
        assert found.failures == sum(found.row in died for died in engine.deaths)


def test_what_failed_once_is_not_condemned() -> None:
    bisection = bisected(100, Engine(set(), flaky={17, 60}))
    assert bisection.condemned == []
    assert bisection.predictions.tolist() == [2.0 * row for row in range(100)]


def test_a_single_row_that_failed_once_is_not_condemned() -> None:
    assert bisected(1, Engine(set(), flaky={0})).condemned == []


@given(tables, st.integers(0, 40))
def test_when_time_is_up_blocks_that_fail_are_condemned_whole(table: tuple[int, set[int]], trials: int) -> None:
    rows, poison = table
    engine = Engine(poison)
    bisection = Bisection(np.arange(float(rows)).reshape(-1, 1), engine.predict, lambda: engine.asked < trials)
    asyncio.run(bisection.run())
    condemned = {row for found in bisection.condemned for row in range(found.row, found.row + found.rows)}
    assert poison <= condemned
    assert condemned == set(np.flatnonzero(np.isnan(bisection.predictions)))
    # What is open then: a block on each level, tried once, but two rows alone, tried twice each.
    assert engine.asked <= trials + math.ceil(math.log2(rows)) + 3
    assert all(found.failures for found in bisection.condemned)


def test_nothing_is_asked_about_no_rows() -> None:
    engine = Engine({0})
    assert bisected(0, engine).predictions.tolist() == []
    assert engine.deaths == []


def test_what_no_row_is_to_blame_for_ends_the_search() -> None:
    async def broken(x: Rows) -> Rows:
        raise OSError("no more processes")

    bisection = Bisection(np.zeros((4, 1)), broken)
    with pytest.raises(OSError, match="no more processes"):
        asyncio.run(bisection.run())
    assert bisection.condemned == []
