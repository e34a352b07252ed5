"""What a trainer counts, and how it is, each figure declared once."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.replica import Replica

PREFIX = "tasador_trainer"
TRAININGS = ("trained", "failed")
PROMOTIONS = ("promoted", "rolled_back", "refused", "held_back")


class Metrics:
    """Figures of one trainer. Every outcome is shown from the start: nobody sees the first increase of a new one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._trainings = Counter(
            f"{PREFIX}_trainings",
            "Trainings that ended: trained (the version is in the store) or failed.",
            ["outcome"],
            registry=self.registry,
        )
        self._promotions = Counter(
            f"{PREFIX}_promotions",
            "Changes of the version in service that were asked for: promoted, rolled_back, refused (nothing changed) "
            "or held_back (trained, and not shown to be better than the version in service).",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in TRAININGS:
            self._trainings.labels(outcome)
        for outcome in PROMOTIONS:
            self._promotions.labels(outcome)

    def show(self, replica: Replica) -> None:
        """Show how this trainer is, too."""
        self.registry.register(_Condition(replica))

    @contextmanager
    def counting_training(self) -> Iterator[None]:
        """Count a training by how the block ends; one that is cancelled comes again."""
        try:
            yield
        except Exception:
            self._trainings.labels("failed").inc()
            raise
        self._trainings.labels("trained").inc()

    def count_promotion(self, outcome: str) -> None:
        self._promotions.labels(outcome).inc()


class _Condition(Collector):
    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def collect(self) -> Iterator[Metric]:
        ready = takes_commands(self._replica)
        yield GaugeMetricFamily(f"{PREFIX}_ready", "1 if it leads and takes commands; 0 in a standby.", ready)
        yield GaugeMetricFamily(f"{PREFIX}_redis_up", "1 if Redis took the last announcement.", self._replica.redis_up)


def takes_commands(replica: Replica) -> bool:
    """Whether commands are carried out here; a training in progress does not change that."""
    return replica.redis_up and replica.state in ("ready", "training")
