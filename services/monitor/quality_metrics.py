"""Live quality as Prometheus is told of it."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.monitor.feedback.joiner import OUTCOMES
from services.monitor.live_quality import QualityReport
from services.monitor.quality import Estimate, Quality
from services.monitor.scorecard import Labelled

PREFIX = "tasador_monitor"
_FIGURES: tuple[tuple[str, str, Callable[[Quality], Estimate | None]], ...] = (
    ("live_rmse", "RMSE of predictions whose actual value is known.", lambda quality: quality.rmse),
    ("live_mae", "Mean absolute error of predictions whose actual value is known.", lambda quality: quality.mae),
    ("live_r2_ratio", "R² of predictions whose actual value is known.", lambda quality: quality.r2),
    ("live_bias", "Mean of prediction - actual value, where that is known.", lambda quality: quality.bias),
)


def of_quality(report: QualityReport) -> Iterator[Metric]:
    labelled = [
        ((version, window), found)
        for version, quality in report.versions.items()
        for window, found in quality.windows.items()
    ]
    yield _gauge(
        "labelled_rows",
        "Predictions whose actual value is known.",
        [(name, found.quality.n) for name, found in labelled],
    )
    for name, text, figure in _FIGURES:
        yield from _estimates(name, text, figure, labelled)
    training = GaugeMetricFamily(
        f"{PREFIX}_training_rmse", "RMSE on the test rows of the training.", labels=["version"]
    )
    for version, quality in report.versions.items():
        training.add_metric([version], quality.training.test["rmse"])
    yield training
    yield from _of_feedback(report)


def _estimates(
    name: str,
    text: str,
    figure: Callable[[Quality], Estimate | None],
    labelled: list[tuple[tuple[str, str], Labelled]],
) -> Iterator[Metric]:
    found = [(labels, estimate) for labels, each in labelled if (estimate := figure(each.quality)) is not None]
    yield _gauge(name, text, [(labels, estimate.value) for labels, estimate in found])
    yield _gauge(f"{name}_low", f"Lower end of its 95 % interval: {text}", [(ls, e.low) for ls, e in found])
    yield _gauge(f"{name}_high", f"Upper end of its 95 % interval: {text}", [(ls, e.high) for ls, e in found])


def _gauge(name: str, text: str, values: Sequence[tuple[tuple[str, str], float | None]]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=["version", "window"])
    for labels, value in values:
        if value is not None:
            family.add_metric(labels, value)
    return family


def _of_feedback(report: QualityReport) -> Iterator[Metric]:
    counts = vars(report.feedback)
    values = CounterMetricFamily(
        f"{PREFIX}_feedback_values", "Values of feedback by what became of them.", labels=["outcome"]
    )
    for outcome in OUTCOMES:
        values.add_metric([outcome], counts[outcome])
    yield values
    yield GaugeMetricFamily(
        f"{PREFIX}_feedback_waiting_values", "Values that have not found their prediction yet.", report.feedback.waiting
    )
    yield GaugeMetricFamily(
        f"{PREFIX}_feedback_unread_entries", "Entries of feedback that nobody has looked at.", report.feedback.unread
    )
