"""Whether to ask the trainer for a new model, and why not. Pure.

It is asked because of drift that lasts, or of live quality that has fallen; at most once in `cooldown` seconds and
`per_day` times within 24 hours, and never while a training waits or runs. A new model does not serve because it was
asked for: the trainer promotes it only when it is better.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from services.monitor.alerts import Alert
from services.monitor.carried import read_section

DAY = timedelta(days=1)
REQUESTS_KEPT = 20
_NAMED = 5  # alerts, in the reason

Trigger = Literal["drift", "quality"]
Verdict = Literal["idle", "requested", "off", "busy", "cooldown", "budget"]


@dataclass(frozen=True)
class Policy:
    """`retrain` of params.yaml, as the artifact's manifest carries it."""

    automatic: bool = True
    after: int = 2
    """Evaluations in a row that must find drift."""
    cooldown: float = 21_600.0
    """Seconds between two requests."""
    per_day: int = 2
    """Requests within 24 hours."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Policy":
        """Take what the manifest of a version says; what it leaves out is the default."""
        return read_section(cls, values)


@dataclass(frozen=True)
class Request:
    """One that was made."""

    at: datetime
    trigger: Trigger
    reason: str
    operation_id: str
    """Of the gateway's `/admin/operations/{id}`, which says what became of it."""
    model_version: str


@dataclass(frozen=True)
class Decision:
    at: datetime
    verdict: Verdict
    """idle: nothing asks for a new model; off, busy, cooldown, budget: something does, and that is in the way."""
    trigger: Trigger | None = None
    reason: str = ""


def decide(
    policy: Policy, alerts: Iterable[Alert], requests: Sequence[Request], now: datetime, *, busy: bool
) -> Decision:
    """Decide after an evaluation.

    Args:
        alerts: as the evaluation left them.
        requests: those made before, oldest first.
        now: when it was.
        busy: a training waits or runs, whoever asked for it.
    """
    # One that this evaluation was not sure of is as it was: without rows there is nothing new to be learned from.
    firing = [alert for alert in alerts if alert.firing and alert.updated_at == now]
    quality = [alert for alert in firing if alert.rule == "quality" and alert.bad_evaluations]
    drift = [alert for alert in firing if alert.rule == "drift" and alert.bad_evaluations >= policy.after]
    if not quality and not drift:
        return Decision(now, "idle")
    trigger: Trigger = "quality" if quality else "drift"
    why = _why(quality or drift)
    if not policy.automatic:
        return Decision(now, "off", trigger, f"retrain.automatic is off; {why}")
    if busy:
        return Decision(now, "busy", trigger, f"a training waits or runs already; {why}")
    free = earliest(policy, requests, now)
    if free is not None and free > now:
        spent = remaining(policy, requests, now) == 0
        limit = f"{policy.per_day} requests within 24 h" if spent else f"one request in {policy.cooldown:g} s"
        at = free.isoformat(timespec="seconds")
        return Decision(now, "budget" if spent else "cooldown", trigger, f"{limit}: not before {at}; {why}")
    if free is None:
        return Decision(now, "budget", trigger, f"retrain.per_day is 0; {why}")
    return Decision(now, "requested", trigger, why)


def remaining(policy: Policy, requests: Sequence[Request], now: datetime) -> int:
    """Return how many requests the budget still has."""
    return max(0, policy.per_day - len(_recent(requests, now)))


def earliest(policy: Policy, requests: Sequence[Request], now: datetime) -> datetime | None:
    """Return from when on cooldown and budget allow a request; None: never."""
    if policy.per_day <= 0:
        return None
    waits = [now]
    waits += [request.at + timedelta(seconds=policy.cooldown) for request in requests[-1:]]
    recent = _recent(requests, now)
    waits += [request.at + DAY for request in recent[-policy.per_day :][:1] if len(recent) >= policy.per_day]
    return max(waits)


def kept(requests: Sequence[Request], now: datetime) -> tuple[Request, ...]:
    """Return those that the budget needs, and the newest to look at."""
    return tuple(requests[-max(REQUESTS_KEPT, len(_recent(requests, now))) :])


def _recent(requests: Sequence[Request], now: datetime) -> list[Request]:
    return [request for request in requests if now - request.at < DAY]


def _why(alerts: Sequence[Alert]) -> str:
    named = [f"{each.rule} of {each.subject} since {each.since:%Y-%m-%d %H:%M}: {each.reason}" for each in alerts]
    more = [f"and {len(named) - _NAMED} more"] if len(named) > _NAMED else []
    return "; ".join([*named[:_NAMED], *more])
