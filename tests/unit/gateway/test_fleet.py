"""What several workers say together is what one would have said that had answered everything."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest

from services.gateway.figures import Figures, summary, together
from services.gateway.fleet import Family, Together, Told, Worker, families, health_of
from services.gateway.health import Health, Status, Warned
from services.gateway.tally import Predictions

NUMBERS = st.lists(st.floats(1e-6, 10), max_size=20)


def counted(*numbers: float) -> Predictions:
    predictions = Predictions()
    for number in numbers:
        predictions.add("single", "1", number, 10 * number)
    return predictions


@given(NUMBERS, NUMBERS)
def test_a_summary_of_two_is_that_of_all(one: list[float], other: list[float]) -> None:
    two = together([Figures.of(counted(*one), 1.0), Figures.of(counted(*other), 2.0)])
    expected = summary(Figures.of(counted(*one, *other), 2.0)).model_dump(exclude_none=True)
    assert summary(two).model_dump(exclude_none=True) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def told(
    status: Status = "healthy", warnings: Sequence[str] = (), n: int = 0, shown: Sequence[Family] = (), hours: float = 1
) -> Told:
    said = [Warned(code=detail, detail=detail) for detail in warnings]
    health = Health(
        status=status, model_loaded=True, model_version="1", uptime_hours=hours, total_predictions=n, warnings=said
    )
    return Told(health=health, figures=Figures.of(Predictions(), 1.0), families=list(shown))


def test_health_is_the_worst_and_figures_are_those_of_all() -> None:
    both = [Worker(1, told("warning", ["old"], n=3, hours=2)), Worker(2, told("degraded", ["old", "lost"], n=4))]
    found = health_of(both)
    assert (found.status, found.total_predictions, found.uptime_hours) == ("degraded", 7, 2)
    assert [warned.code for warned in found.warnings] == ["old", "lost"]


def test_a_worker_that_does_not_answer_is_named_and_its_last_figures_count() -> None:
    found = health_of([Worker(1, told(n=3)), Worker(2, told(n=4), answers=False), Worker(3, None, answers=False)])
    assert (found.status, found.total_predictions) == ("warning", 7)
    assert [(warned.code, warned.detail[:8]) for warned in found.warnings] == [
        ("worker_silent", "worker 2"),
        ("worker_silent", "worker 3"),
    ]


def test_metrics_of_all_are_told_apart_by_their_worker() -> None:
    registry = CollectorRegistry()
    Counter("answers", "Answered.", ["code"], registry=registry).labels("200").inc(2)
    shown = Told.model_validate_json(told(shown=families(registry)).model_dump_json()).families
    workers = [Worker(1, told(shown=shown)), Worker(2, told(shown=shown)), Worker(3, told(shown=shown), answers=False)]
    lines = generate_latest(Together(workers)).decode().splitlines()
    assert [line for line in lines if line.startswith("answers_total")] == [
        'answers_total{code="200",worker="1"} 2.0',
        'answers_total{code="200",worker="2"} 2.0',
    ]
    assert lines.count("# TYPE answers_total counter") == 1
