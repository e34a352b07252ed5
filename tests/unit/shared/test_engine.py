"""Loading a model tells what a row of it costs."""

import time
from collections.abc import Sequence
from dataclasses import replace

from shared.artifact import Golden, GoldenRow
from shared.engine import _check_golden
from tests.unit.gateway.fakes import Sum, a_model


class Slow(Sum):
    """Takes long for its first row, as one that has to get warm, and then 1 ms."""

    def __init__(self) -> None:
        self.first = True

    def run_row(self, row: Sequence[float]) -> float:
        time.sleep(0.1 if self.first else 0.001)
        self.first = False
        return super().run_row(row)


def test_a_row_costs_what_it_mostly_did() -> None:
    model = replace(a_model(), engine=Slow())
    golden = Golden(rows=(GoldenRow(row={}, prediction=0.0),) * len(model.golden) * 2)
    model = replace(model, golden=model.golden.repeat(2, axis=0))
    assert 0.001 <= _check_golden(model, golden, "here") < 0.1
