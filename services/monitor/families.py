"""How metrics are told that are computed at a scrape. Pure."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

PREFIX = "tasador_monitor"


def gauge(
    name: str, text: str, values: Iterable[tuple[tuple[str, ...], float | None]], labels: tuple[str, ...] = ()
) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for labelled, value in values:
        if value is not None:
            family.add_metric(labelled, value)
    return family


def counter(
    name: str, text: str, values: Iterable[tuple[tuple[str, ...], float]], labels: tuple[str, ...] = ()
) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for labelled, value in values:
        family.add_metric(labelled, value)
    return family
