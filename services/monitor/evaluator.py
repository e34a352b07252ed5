"""One look of the leading monitor: evaluate when it is time, and tell what changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from pydantic import TypeAdapter

from services.monitor import retraining
from services.monitor.alerts import Alert, Outcome, Served, is_void, judge
from services.monitor.conditions import of_drift, of_latency, of_quality
from services.monitor.evaluations import Evaluation, evaluation_of, is_due, period
from services.monitor.live_quality import LiveQuality
from services.monitor.monitor import Monitor
from services.monitor.retraining import Decision, Policy, Request, decide
from services.monitor.versions import Version
from services.monitor.watch import Memory, Message, Watch, Watched
from shared.events import RetrainRequested
from shared.lease import Lease
from shared.telemetry import get_logger
from shared.webhooks.messages import alert_message_id

MAX_REASON = 500  # characters, as of a person's

log = get_logger(__name__)


@dataclass(frozen=True)
class _Message:
    type: str
    timestamp: datetime
    data: Alert


_MESSAGE = TypeAdapter(_Message)


@dataclass(frozen=True)
class AlertPolicy:
    """When the monitor evaluates, and whom it tells.

    Args:
        every: seconds between evaluations.
        latency_limit: seconds that the 99th percentile of engine time may take.
        webhook: is told of every change; empty for nobody.
    """

    every: float
    latency_limit: float
    webhook: str = ""


@dataclass(frozen=True)
class _Findings:
    """What a look came to."""

    memory: Memory
    outcome: Outcome
    evaluation: Evaluation | None = None
    command: RetrainRequested | None = None


class Evaluator:
    def __init__(self, monitor: Monitor, quality: LiveQuality, watch: Watch, policy: AlertPolicy) -> None:
        self._monitor = monitor
        self._quality = quality
        self._watch = watch
        self._policy = policy

    async def look(self, lease: Lease) -> None:
        """Evaluate, if that was not done since the clock's last full period; and end alerts that a promotion made void.

        Raises:
            NoModel: there is nothing to evaluate yet.
        """
        before = await self._watch.read()
        scheduled = period(before.at.timestamp(), self._policy.every)
        if is_due(scheduled, before.memory.scheduled_at, self._policy.every):
            found = await self._evaluated(before, scheduled)
        elif before.serving and any(is_void(a, Served(self._monitor.model, before.serving)) for a in before.alerts):
            champion = await self._monitor.champion()  # what Redis says is a copy
            found = _Findings(before.memory, judge(before.alerts, (), _served(champion), before.at, _new_id))
        else:
            return
        if found.evaluation or found.outcome.told:
            await self._record(lease, before, found)

    async def _evaluated(self, before: Watched, scheduled: float) -> _Findings:
        champion, now = await self._monitor.champion(), before.at
        since = scheduled - self._policy.every  # what the evaluation before has seen, or should have
        report = await self._monitor.drift(reaching=now.timestamp() - since)
        stats = await self._monitor.stats()
        windows = {seconds: stats.windows[name].all for name, seconds in self._monitor.figures_over.items()}
        conditions = [
            *of_drift(report),
            *of_latency(windows, self._policy.latency_limit, self._policy.every),
            of_quality(await self._quality.verdict()),
        ]
        outcome = judge(before.alerts, conditions, _served(champion), now, _new_id)
        decision = decide(
            Policy.of(champion.retrain), outcome.alerts, before.memory.requests, now, busy=before.training
        )
        command = _command(decision)
        requests = _requests(before.memory.requests, decision, command, champion.version)
        return _Findings(
            Memory(scheduled, now, retraining.kept(requests, now), decision),
            outcome,
            evaluation_of(report, conditions, now, datetime.fromtimestamp(scheduled, UTC)),
            command,
        )

    async def _record(self, lease: Lease, before: Watched, found: _Findings) -> None:
        told = found.outcome.told
        answer = await self._watch.record(
            lease,
            before,
            found.memory,
            found.outcome.alerts,
            evaluation=found.evaluation,
            messages=self._messages(told),
            command=found.command,
        )
        if answer != "ok":  # the next look, ours or another's, begins with what there is now
            log.info("an evaluation was not recorded", answer=answer)
            return
        for alert in told:
            _say(alert)
        _say_decision(found.memory.decision, before.memory.decision, found.command)

    def _messages(self, told: Sequence[Alert]) -> list[Message]:
        url = self._policy.webhook
        return [Message(alert_message_id(alert.id, alert.state), url, alert_message(alert)) for alert in told if url]


def alert_message(alert: Alert) -> str:
    """Return the JSON that a webhook hears of an alert: type, timestamp, and the alert as clients see it."""
    return _MESSAGE.dump_json(_Message(f"alert.{alert.state}", alert.updated_at, alert)).decode()


def _say(alert: Alert) -> None:
    say = log.warning if alert.firing else log.info
    say(
        "alert",
        alert_id=alert.id,
        state=alert.state,
        rule=alert.rule,
        subject=alert.subject,
        reason=alert.reason,
        value=alert.value,
        threshold=alert.threshold,
        model=alert.model_name,
        version=alert.model_version,
    )


def _say_decision(decision: Decision | None, before: Decision | None, command: RetrainRequested | None) -> None:
    """What is in the way is said once, until something else is."""
    if command is not None:
        log.info("retraining requested", operation_id=command.operation_id, reason=command.reason)
    elif decision and decision.verdict != "idle" and (before is None or before.verdict != decision.verdict):
        log.info("retraining not requested", why=decision.verdict, reason=decision.reason)


def _command(decision: Decision) -> RetrainRequested | None:
    if decision.verdict != "requested" or decision.trigger is None:
        return None
    return RetrainRequested(operation_id=uuid4().hex, reason=decision.reason[:MAX_REASON], trigger=decision.trigger)


def _requests(
    before: tuple[Request, ...], decision: Decision, command: RetrainRequested | None, version: str
) -> tuple[Request, ...]:
    if command is None or decision.trigger is None:
        return before
    return (*before, Request(decision.at, decision.trigger, command.reason, command.operation_id, version))


def _served(champion: Version) -> Served:
    return Served(champion.model, champion.version)


def _new_id() -> str:
    return uuid4().hex
