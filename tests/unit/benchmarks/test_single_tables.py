import pytest

from benchmarks.single_tables import BARE, STRIPPED, TASADOR, Measured, Round, _ahead, of_load, of_servers
from benchmarks.tables import Figure
from benchmarks.wrk import Load


def _rounds(*rates: float, of: float = 1000.0) -> list[Round]:
    return [Round(Load(int(rate), 1_000_000, 0, 250.0, 900.0), rate * 1e-4, rate / of) for rate in rates]


@pytest.fixture
def measured() -> Measured:
    rates = {BARE: (1000.0,), STRIPPED: (700.0,), TASADOR: (500.0, 700.0, 600.0), "Slow": (10.0,), "Quick": (50.0,)}
    return Measured({(16, name): _rounds(*given) for name, given in rates.items()}, refused={"Absent": "no wheel"})


def test_a_table_shows_medians_and_shares_of_the_constant_answer(measured: Measured) -> None:
    table = of_load("ridge", 16, measured)
    row = next(row for row in table.rows if row[0] == TASADOR)
    assert row[1:3] == [Figure(600.0, 500.0, 700.0), Figure(0.6, 0.5, 0.7)]
    assert [figure.median for figure in row[3:6] if isinstance(figure, Figure)] == pytest.approx([0.25, 0.9, 100.0])


def test_a_server_that_answered_nothing_in_time_has_no_latency(measured: Measured) -> None:
    measured.rounds[16, "Stuck"] = _rounds(0.0)
    (row,) = [row for row in of_load("ridge", 16, measured).rows if row[0] == "Stuck"]
    assert row[1:] == [Figure(0.0, 0.0, 0.0), Figure(0.0, 0.0, 0.0), None, None, None, 0]


def test_a_table_has_its_own_connections_alone(measured: Measured) -> None:
    assert of_load("ridge", 64, measured).rows == []


def test_the_best_other_server_is_named(measured: Measured) -> None:
    assert of_load("ridge", 16, measured).notes == ["Tasador answers 12.0 times as many as Quick"]
    assert _ahead({BARE: _rounds(1000.0), TASADOR: _rounds(500.0)}) == []


def test_a_server_that_did_not_start_is_listed_with_the_reason(measured: Measured) -> None:
    assert of_servers("ridge", measured).rows == [["Absent", "none", "no wheel"]]
