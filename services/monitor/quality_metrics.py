"""Live quality as Prometheus is told of it."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import Metric

from services.monitor.families import counter, gauge
from services.monitor.feedback.joiner import OUTCOMES
from services.monitor.live_quality import QualityReport
from services.monitor.quality import Estimate, Quality
from services.monitor.scorecard import Labelled

LABELS = ("version", "window")
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
    rows = [(name, float(found.quality.n)) for name, found in labelled]
    yield gauge("labelled_rows", "Predictions whose actual value is known.", rows, LABELS)
    for name, text, figure in _FIGURES:
        yield from _estimates(name, text, figure, labelled)
    training = [((version,), quality.training.test["rmse"]) for version, quality in report.versions.items()]
    yield gauge("training_rmse", "RMSE on the test rows of training.", training, ("version",))
    yield from _of_feedback(report)


def _estimates(
    name: str,
    text: str,
    figure: Callable[[Quality], Estimate | None],
    labelled: Sequence[tuple[tuple[str, str], Labelled]],
) -> Iterator[Metric]:
    found = [(labels, estimate) for labels, each in labelled if (estimate := figure(each.quality)) is not None]
    yield gauge(name, text, [(labels, estimate.value) for labels, estimate in found], LABELS)
    yield gauge(f"{name}_low", f"Lower end of its 95 % interval: {text}", [(ls, e.low) for ls, e in found], LABELS)
    yield gauge(f"{name}_high", f"Upper end of its 95 % interval: {text}", [(ls, e.high) for ls, e in found], LABELS)


def _of_feedback(report: QualityReport) -> Iterator[Metric]:
    found, counts = report.feedback, vars(report.feedback)
    values = [((outcome,), float(counts[outcome])) for outcome in OUTCOMES]
    yield counter("feedback_values", "Values of feedback by what became of them.", values, ("outcome",))
    yield gauge(
        "feedback_waiting_values", "Values that have not found their prediction yet.", [((), float(found.waiting))]
    )
    yield gauge(
        "feedback_unread_entries", "Entries of feedback that nobody has looked at.", [((), float(found.unread))]
    )
