"""When alerts fire and are resolved. Pure: old alerts and new conditions give new alerts, and what is to be told.

A bad condition fires at once. Only conditions that are good twice in a row resolve it, so an alert neither flaps nor
repeats; what is unsure changes nothing. Alerts about a version end when another one serves.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from services.monitor.conditions import Condition, Rule

AlertState = Literal["firing", "acknowledged", "resolved"]

RESOLVE_AFTER = 2  # good evaluations in a row
RESOLVED_KEPT = 200
RESOLVED_LIFE = timedelta(days=30)


@dataclass(frozen=True)
class Acknowledgement:
    """Somebody has seen it."""

    at: datetime
    by: str
    comment: str


@dataclass(frozen=True)
class Alert:
    id: str
    rule: Rule
    subject: str
    state: AlertState
    """acknowledged: it fires, and somebody has seen it."""
    reason: str
    """What the last evaluation that was sure found; of a resolved alert, why it ended."""
    since: datetime
    updated_at: datetime
    value: float | None
    threshold: float | None
    model_name: str
    model_version: str | None
    """The version it is about; null where it is about none in particular."""
    resolved_at: datetime | None = None
    acknowledged: Acknowledgement | None = None
    bad_evaluations: int = 1
    """In a row, up to the last one that was sure."""
    good_evaluations: int = 0

    @property
    def firing(self) -> bool:
        """Whether it has not ended, seen or not."""
        return self.state != "resolved"

    def seen(self, by: Acknowledgement) -> "Alert":
        """Return it as acknowledged; one that has ended stays so."""
        return replace(self, state="acknowledged" if self.firing else self.state, acknowledged=by)

    def unseen(self) -> "Alert":
        """Return it as if nobody had acknowledged it."""
        return replace(self, state="firing" if self.firing else self.state, acknowledged=None)


@dataclass(frozen=True)
class Served:
    """The champion."""

    model: str
    version: str


@dataclass(frozen=True)
class Outcome:
    alerts: tuple[Alert, ...]
    """All that are kept, the newest first."""
    told: tuple[Alert, ...]
    """Those that began to fire or were resolved: each is told once."""


def judge(
    alerts: Iterable[Alert],
    conditions: Sequence[Condition],
    served: Served,
    now: datetime,
    new_id: Callable[[], str],
) -> Outcome:
    """Return what an evaluation makes of the alerts.

    Args:
        conditions: at most one for a rule and a subject. One without a condition stays as it is, and so does what is
            about another version.
    """
    before = {alert.id: alert for alert in alerts}
    after = before | {each.id: each for each in _superseded(before.values(), served, now)}
    firing = {(each.rule, each.subject): each for each in after.values() if each.firing}
    for condition in conditions:
        if condition.version in (None, served.version):
            found = _next(firing.get((condition.rule, condition.subject)), condition, served.model, now, new_id)
            after |= {found.id: found} if found else {}
    told = [each for each in after.values() if each.id not in before or before[each.id].state != each.state]
    return Outcome(tuple(_kept(after.values(), now)), tuple(told))


def _next(
    alert: Alert | None, condition: Condition, model: str, now: datetime, new_id: Callable[[], str]
) -> Alert | None:
    """Return the alert as a condition leaves it; None where there is none."""
    if condition.state == "unsure":
        return alert
    if alert is None:
        return _fired(condition, model, now, new_id()) if condition.state == "bad" else None
    seen = replace(alert, reason=condition.reason, value=condition.value, threshold=condition.threshold, updated_at=now)
    if condition.state == "bad":
        return replace(seen, bad_evaluations=alert.bad_evaluations + 1, good_evaluations=0)
    better = replace(seen, bad_evaluations=0, good_evaluations=alert.good_evaluations + 1)
    return _resolved(better, condition.reason, now) if better.good_evaluations >= RESOLVE_AFTER else better


def _fired(condition: Condition, model: str, now: datetime, alert_id: str) -> Alert:
    return Alert(
        id=alert_id,
        rule=condition.rule,
        subject=condition.subject,
        state="firing",
        reason=condition.reason,
        since=now,
        updated_at=now,
        value=condition.value,
        threshold=condition.threshold,
        model_name=model,
        model_version=condition.version,
    )


def is_void(alert: Alert, served: Served) -> bool:
    """Whether an alert fires that is about a version which does not serve any more."""
    same = alert.model_name == served.model and alert.model_version in (None, served.version)
    return alert.firing and not same


def _superseded(alerts: Iterable[Alert], served: Served, now: datetime) -> Iterator[Alert]:
    for alert in alerts:
        if is_void(alert, served):
            yield _resolved(alert, f"version {served.version} of {served.model} serves now", now)


def _resolved(alert: Alert, reason: str, now: datetime) -> Alert:
    return replace(alert, state="resolved", reason=reason, resolved_at=now, updated_at=now)


def _kept(alerts: Iterable[Alert], now: datetime) -> list[Alert]:
    newest = sorted(alerts, key=lambda alert: (alert.since, alert.id), reverse=True)
    resolved = [each for each in newest if each.resolved_at and now - each.resolved_at <= RESOLVED_LIFE]
    kept = {each.id for each in sorted(resolved, key=_ended, reverse=True)[:RESOLVED_KEPT]}
    return [each for each in newest if each.firing or each.id in kept]


def _ended(alert: Alert) -> datetime:
    assert alert.resolved_at is not None
    return alert.resolved_at
