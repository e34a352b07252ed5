"""Loading a model tells what a row of it costs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from shared import engine
from shared.artifact import Golden, GoldenRow
from tests.unit.gateway.fakes import Sum, a_model


class Slow(Sum):
    """Takes long for its first row, as one that has to get warm, and then a second, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def run_row(self, row: Sequence[float]) -> float:
        self.now += 1.0 if self.now else 100.0
        return super().run_row(row)


def test_a_row_costs_what_it_mostly_did(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(engine, "time", slow)
    model = a_model()
    model = replace(model, engine=slow, golden=model.golden.repeat(2, axis=0))
    golden = Golden(rows=(GoldenRow(row={}, prediction=0.0),) * len(model.golden))
    assert engine._check_golden(model, golden, "here") == 1.0
