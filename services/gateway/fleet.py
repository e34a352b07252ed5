"""What all workers of a port say together: one that is asked there asks the others, each at its own port.

So figures do not depend on who happens to take the question. Asked at its own port, a worker speaks for itself.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel

from services.gateway.figures import Figures
from services.gateway.health import Health, Warned, worst
from services.gateway.sockets import Sockets

PATH = "/metrics/worker"
SECONDS = 0.5
"""To answer in; `/health` waits for the slowest."""
_ASK = b"GET %b HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n" % PATH.encode()


class Family(BaseModel):
    """A metric with all that it shows."""

    name: str
    help: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]
    """Name, labels and value."""


class Told(BaseModel):
    """What a worker says of itself."""

    health: Health
    figures: Figures
    families: list[Family]


@dataclass(frozen=True)
class Worker:
    number: int
    told: Told | None
    """The last that it said."""
    answers: bool = True


class Fleet:
    """The workers as one of them sees them."""

    def __init__(self, sockets: Sockets | None, tell: Callable[[], Told], *, seconds: float = SECONDS) -> None:
        self.tell = tell
        self._sockets = sockets
        self._seconds = seconds
        self._last: dict[int, Told] = {}

    async def asked(self, scope: Mapping[str, Any]) -> list[Worker]:
        """Return what all say if a request is to all, and nothing if it is to this process alone."""
        if self._sockets is None or not self._sockets.is_asked_for_all(scope["server"][1]):
            return []
        others = await asyncio.gather(*(self._ask(*other) for other in self._sockets.others.items()))
        return sorted([Worker(self._sockets.worker, self.tell()), *others], key=lambda worker: worker.number)

    async def others_serve(self) -> bool:
        """Tell whether another has a model."""
        others = self._sockets.others if self._sockets else {}
        said = await asyncio.gather(*(self._ask(*other) for other in others.items()))
        return any(worker.answers and worker.told and worker.told.health.model_loaded for worker in said)

    async def _ask(self, number: int, address: tuple[str, int]) -> Worker:
        try:
            async with asyncio.timeout(self._seconds):
                told = self._last[number] = await _fetch(*address)
        except (OSError, ValueError):  # it starts, hangs (a TimeoutError is an OSError), or died half-way
            return Worker(number, self._last.get(number), answers=False)
        return Worker(number, told)


async def _fetch(host: str, port: int) -> Told:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_ASK)
        answer = await reader.read()
    finally:
        writer.close()
    return Told.model_validate_json(answer.partition(b"\r\n\r\n")[2])


def health_of(workers: list[Worker]) -> Health:
    """Return the worst of what they say; figures are those of all."""
    each = [worker.told.health for worker in workers if worker.told is not None]
    silent = [worker.number for worker in workers if not worker.answers]
    warnings = {warned.detail: warned for one in each for warned in one.warnings}
    for number in silent:
        detail = f"worker {number} does not answer: it starts or hangs, and the others take its connections"
        warnings[detail] = Warned(code="worker_silent", detail=detail)
    return each[0].model_copy(
        update={
            "status": worst([one.status for one in each] + ["warning" for _ in silent]),
            "model_loaded": all(one.model_loaded for one in each),
            "uptime_hours": max(one.uptime_hours for one in each),
            "total_predictions": sum(one.total_predictions for one in each),
            "warnings": list(warnings.values()),
        }
    )


def families(registry: CollectorRegistry) -> list[Family]:
    return [
        Family(
            name=metric.name,
            help=metric.documentation,
            type=metric.type,
            samples=[(sample.name, sample.labels, sample.value) for sample in metric.samples],
        )
        for metric in registry.collect()
    ]


class Together(Collector):
    """The metrics of all workers, each with the number of its worker: sums and rates are those of any replicas."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for worker in self._workers:
            for family in worker.told.families if worker.told is not None and worker.answers else ():
                metric = found.setdefault(family.name, Metric(family.name, family.help, family.type))
                for name, labels, value in family.samples:
                    metric.add_sample(name, {**labels, "worker": str(worker.number)}, value)
        yield from found.values()
