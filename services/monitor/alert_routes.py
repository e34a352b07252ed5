"""HTTP: alerts, evaluations, and what is asked of the trainer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Body, FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from services.monitor.alerts import Acknowledgement, Alert, AlertState
from services.monitor.evaluations import KEPT, Evaluation
from services.monitor.monitor import Monitor
from services.monitor.retraining import Decision, Policy, Request, earliest, remaining
from services.monitor.watch import Watch
from shared.clock import utc_now


class AlertNotFound(LookupError):
    """No alert of this id is kept."""


class AlertResolved(RuntimeError):
    """There is nothing to acknowledge any more."""


@dataclass(frozen=True)
class AlertList:
    evaluated_at: datetime | None
    """When the leading monitor evaluated last; null: never."""
    alerts: list[Alert]
    """The newest first."""


@dataclass(frozen=True)
class EvaluationList:
    evaluations: list[Evaluation]
    """The newest first."""


@dataclass(frozen=True)
class Retraining:
    policy: Policy
    """`retrain` of params.yaml that the champion was trained with."""
    remaining: int
    """Requests that the budget of 24 hours still has."""
    earliest_at: datetime | None
    """From when on cooldown and budget allow a request; null: never."""
    training: bool
    """A training waits or runs, whoever asked for it."""
    decision: Decision | None
    """That of the last evaluation."""
    requests: list[Request]
    """The newest first; those of operators and schedules are not among them."""


class Seen(BaseModel):
    """The body of an acknowledgement; it may be left out."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field("", max_length=100, description="Who has seen it.")
    comment: str = Field("", max_length=500)


def add_alerts(app: FastAPI, monitor: Monitor, watch: Watch) -> None:
    @app.get("/alerts")
    async def alerts(
        state: Annotated[list[AlertState] | None, Query(description="May be repeated. Default: all.")] = None,
    ) -> AlertList:
        """What fires, and what has ended within the last weeks; the same on every monitor."""
        watched = await watch.read()
        found = [alert for alert in watched.alerts if not state or alert.state in state]
        return AlertList(watched.memory.evaluated_at, found)

    @app.get("/alerts/{alert_id}")
    async def alert(alert_id: str) -> Alert:
        return await _find(watch, alert_id)

    @app.post("/alerts/{alert_id}/acknowledge")
    async def acknowledge(alert_id: str, seen: Annotated[Seen | None, Body()] = None) -> Alert:
        """Say that somebody has seen an alert. The first acknowledgement stays; health then does not warn of it."""
        who = seen or Seen()
        answer = await watch.acknowledge(alert_id, Acknowledgement(utc_now(), who.by, who.comment))
        if answer == "resolved":
            raise AlertResolved(f"alert {alert_id} is resolved already")
        return await _find(watch, alert_id)

    @app.get("/evaluations")
    async def evaluations(limit: Annotated[int, Query(ge=1, le=KEPT)] = 24) -> EvaluationList:
        """What the last evaluations found."""
        return EvaluationList(await watch.evaluations(limit))

    @app.get("/retraining")
    async def retraining() -> Retraining:
        """When the monitor asks for a new model, when it last did, and why not."""
        policy = Policy.of((await monitor.champion()).retrain)
        watched = await watch.read()
        requests, now = watched.memory.requests, watched.at
        return Retraining(
            policy=policy,
            remaining=remaining(policy, requests, now),
            earliest_at=earliest(policy, requests, now),
            training=watched.training,
            decision=watched.memory.decision,
            requests=list(reversed(requests)),
        )


async def _find(watch: Watch, alert_id: str) -> Alert:
    found = (await watch.read()).find(alert_id)
    if found is None:
        raise AlertNotFound(f"no alert {alert_id[:64]!r} is known")
    return found
