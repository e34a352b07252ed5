"""Drift as Prometheus is told of it. Pure."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from services.monitor.drift import ColumnDrift, DriftReport
from services.monitor.families import gauge
from shared.profile import PREDICTION


def of_drift(report: DriftReport) -> Iterator[Metric]:
    columns: list[tuple[tuple[str, ...], ColumnDrift]] = [((name,), c) for name, c in report.features.items()]
    if PREDICTION not in report.features:  # a feature of that name has the label; two of one would break the scrape
        columns.append(((PREDICTION,), report.prediction))
    labels = ("feature",)
    yield gauge("drift_window_rows", "Rows that drift is computed from.", [((), report.n)])
    yield gauge("drift_reference_rows", "Rows of the reference.", [((), report.m)])
    yield gauge("drift_psi", "Population stability index in nats.", [(n, c.psi) for n, c in columns], labels)
    yield gauge(
        "drift_mean_shift",
        "Shift of the mean in standard deviations of the reference.",
        [(n, c.mean_shift) for n, c in columns],
        labels,
    )
    yield gauge("drift_ks", "Largest distance of the distribution functions.", [(n, c.ks) for n, c in columns], labels)
    yield gauge(
        "drift_wasserstein",
        "Area between the distribution functions in standard deviations of the reference.",
        [(n, c.wasserstein) for n, c in columns],
        labels,
    )
    yield gauge(
        "drift_effect", "Largest change in the probability of an event.", [(n, c.effect) for n, c in columns], labels
    )
    yield gauge(
        "drift_p_value",
        "Smallest p-value, adjusted for all tests of all features.",
        [(n, c.p_value) for n, c in columns],
        labels,
    )
    yield gauge("drifted", "1 if it has drifted.", [(n, float(c.drifted)) for n, c in columns], labels)
    yield gauge("null_ratio", "Share of nulls.", [(n, c.null_rate) for n, c in columns], labels)
    yield gauge(
        "out_of_range_ratio",
        "Share of values outside the range of the reference.",
        [(n, c.out_of_range_rate) for n, c in columns],
        labels,
    )
    yield gauge(
        "unknown_ratio",
        "Share of categories that training has not seen.",
        [(n, c.unknown_rate) for n, c in columns],
        labels,
    )
