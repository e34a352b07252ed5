"""What the monitors remember together of evaluations, alerts and retrain requests: one copy, in Redis.

Any monitor reads it and acknowledges alerts; only the one that holds the lease changes anything else, and only what it
has read before: a monitor that was paused, or whose answer was lost, writes nothing over what came since.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import TypeAdapter
from redis.asyncio import Redis

from services.monitor.alerts import Acknowledgement, Alert
from services.monitor.evaluations import KEPT, Evaluation
from services.monitor.retraining import Decision, Request
from shared.commands import GIVE, given
from shared.events import RetrainRequested
from shared.keys import Keys
from shared.lease import Lease
from shared.lua import assembled
from shared.webhooks.messages import ENQUEUE

Recorded = Literal["ok", "lost", "changed", "busy"]
Acknowledged = Literal["ok", "unknown", "resolved"]

_SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Memory:
    """What the next evaluation needs to know of the last one."""

    scheduled_at: float = 0.0
    """The period (Unix seconds) that was evaluated last; 0 before the first."""
    evaluated_at: datetime | None = None
    requests: tuple[Request, ...] = ()
    """For a new model, oldest first."""
    decision: Decision | None = None
    """On asking for one, the last."""


@dataclass(frozen=True)
class Watched:
    """Everything that is remembered, at one moment."""

    revision: int
    memory: Memory
    alerts: tuple[Alert, ...]
    """The newest first."""
    serving: str | None
    """The version that Redis says should serve."""
    training: bool
    """A training waits or runs, whoever asked for it."""
    at: datetime = field(compare=False)
    """That moment, by Redis' clock: what leaders stamp must not depend on which of them has the wrong time."""

    def find(self, alert_id: str) -> Alert | None:
        return next((alert for alert in self.alerts if alert.id == alert_id), None)


@dataclass(frozen=True)
class Message:
    """A webhook to be sent."""

    id: str
    url: str
    body: str


_MEMORY, _ALERT, _EVALUATION = TypeAdapter(Memory), TypeAdapter(Alert), TypeAdapter(Evaluation)
_ACKNOWLEDGEMENT = TypeAdapter(Acknowledgement)


class Watch:
    """Reads and records it. `redis` decodes responses; nothing here retries."""

    def __init__(self, redis: Redis, keys: Keys, model: str) -> None:
        self._redis = redis
        self._keys = keys
        self._model = model
        record, acknowledge = ((_SCRIPTS / f"{name}.lua").read_text() for name in ("record", "acknowledge"))
        self._record = redis.register_script(assembled(record, ENQUEUE, GIVE))
        self._acknowledge = redis.register_script(acknowledge)

    async def read(self) -> Watched:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._keys.watch)
            pipe.hgetall(self._keys.alerts)
            pipe.hgetall(self._keys.acknowledgements)
            pipe.hget(self._keys.model(self._model), "version")
            pipe.xlen(self._keys.stream(RetrainRequested.stream))
            pipe.time()
            watch, alerts, acknowledged, serving, waiting, (seconds, micros) = await pipe.execute()
        found = [_with(_ALERT.validate_json(text), acknowledged.get(alert_id)) for alert_id, text in alerts.items()]
        return Watched(
            revision=int(watch.get("revision", 0)),
            memory=_MEMORY.validate_json(watch["memory"]) if "memory" in watch else Memory(),
            alerts=tuple(sorted(found, key=lambda alert: (alert.since, alert.id), reverse=True)),
            serving=serving,
            training=waiting > 0,
            at=datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=micros),
        )

    async def record(
        self,
        lease: Lease,
        before: Watched,
        memory: Memory,
        alerts: Sequence[Alert],
        *,
        evaluation: Evaluation | None = None,
        messages: Sequence[Message] = (),
        command: RetrainRequested | None = None,
    ) -> Recorded:
        """Record in one step what came of an evaluation; anything but `ok`: nothing was written.

        Args:
            before: what it was made of.
            alerts: all that shall be kept.
            command: is given only while no other of its kind waits or is carried out (`busy`).
        """
        # Keys are there for every call; without a command nothing is written to them.
        command_keys, command_args = given(self._keys, command or RetrainRequested(operation_id="", reason=""))
        known = {alert.id: alert for alert in before.alerts}
        written = [alert for alert in alerts if known.get(alert.id) != alert]
        gone = known.keys() - {alert.id for alert in alerts}
        k = self._keys
        names = [lease.key, k.watch, k.alerts, k.acknowledgements, k.evaluations, k.webhooks_due, *command_keys]
        names += [k.webhook(message.id) for message in messages]
        args: list[str | bytes | int] = [lease.token, before.revision, _MEMORY.dump_json(memory)]
        args += [_EVALUATION.dump_json(evaluation) if evaluation else "", KEPT]
        args += command_args if command else ["", 0, ""]
        args += [len(written), *(part for alert in written for part in (alert.id, _text(alert)))]
        args += [len(gone), *gone]
        args += [part for message in messages for part in (message.id, message.url, message.body)]
        return cast(Recorded, await self._record(keys=names, args=args))

    async def acknowledge(self, alert_id: str, seen: Acknowledgement) -> Acknowledged:
        """Note that somebody has seen an alert; the first one stays."""
        names = [self._keys.alerts, self._keys.acknowledgements]
        answer = await self._acknowledge(keys=names, args=[alert_id, _ACKNOWLEDGEMENT.dump_json(seen)])
        return cast(Acknowledged, answer)

    async def evaluations(self, limit: int) -> list[Evaluation]:
        """Return the newest first."""
        found: Any = await self._redis.lrange(self._keys.evaluations, 0, limit - 1)
        return [_EVALUATION.validate_json(text) for text in found]


def _with(alert: Alert, acknowledged: str | None) -> Alert:
    return alert.seen(_ACKNOWLEDGEMENT.validate_json(acknowledged)) if acknowledged else alert


def _text(alert: Alert) -> bytes:
    """As it is kept: acknowledgements are kept apart."""
    return _ALERT.dump_json(alert.unseen())
