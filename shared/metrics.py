"""Metrics that gateway and scorer have alike."""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from shared.follower import Serving


def model_metrics(prefix: str, serving: Serving | None) -> Iterator[Metric]:
    """Say which version a replica serves; without samples while it serves none."""
    info = GaugeMetricFamily(
        f"{prefix}_model_info", "The version in service.", labels=["model", "version", "engine", "candidate"]
    )
    epoch = GaugeMetricFamily(f"{prefix}_model_epoch", "Grows with every promotion and rollback.")
    if serving is not None:
        manifest = serving.model.manifest
        info.add_metric([manifest.name, manifest.version, serving.model.engine.name, manifest.candidate], 1)
        epoch.add_metric([], serving.epoch)
    yield from (info, epoch)
