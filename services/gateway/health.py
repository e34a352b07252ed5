"""`/health`: can it predict, and what is not as it should be. Pure: facts in, report out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel

from services.gateway.watch import Surroundings
from shared.follower import Serving

Level = Literal["degraded", "warning"]
Status = Literal["healthy", "warning", "degraded"]
_ORDER: Sequence[Status] = ("healthy", "warning", "degraded")


class Warned(BaseModel):
    code: str
    detail: str


class Health(BaseModel):
    status: Status
    """degraded: something does not work. warning: everything works, but somebody should look."""
    model_loaded: bool
    model_version: str | None
    uptime_hours: float
    total_predictions: int
    warnings: list[Warned]


@dataclass(frozen=True)
class Facts:
    serving: Serving | None
    model_error: str | None
    """Why the desired version does not load here."""
    fresh: bool
    """Whether it has caught up with the desired version since it was last paused."""
    seen: Surroundings
    refusal: str
    """Why Redis does not let us in, if it is that."""
    telemetry_dropped: int
    uptime_hours: float
    total_predictions: int
    now: datetime
    max_age: timedelta
    """A model that was trained longer ago is worth a look."""
    fast_path_refused: str = ""
    """Why predictions are not answered inside the parser, where that was asked for."""


def report(facts: Facts) -> Health:
    found = [*_model(facts), *_redis(facts.seen, facts.refusal), *_telemetry(facts), *_fast_path(facts)]
    return Health(
        status=worst([level for level, _ in found]),
        model_loaded=facts.serving is not None,
        model_version=facts.serving.model.version if facts.serving else None,
        uptime_hours=round(facts.uptime_hours, 4),
        total_predictions=facts.total_predictions,
        warnings=[warned for _, warned in found],
    )


def worst(statuses: Sequence[Status]) -> Status:
    return max(statuses, key=_ORDER.index, default="healthy")


Found = tuple[Level, Warned]


def _model(facts: Facts) -> Sequence[Found]:
    found: list[Found] = []
    if facts.model_error:
        found.append(_degraded("model_refused", f"the desired version cannot be served here: {facts.model_error}"))
    if facts.serving is None:
        return [*found, _degraded("no_model", "no version is in service: train one, or see model_refused")]
    if not facts.fresh:
        found.append(_degraded("model_unchecked", "it was paused, and has not caught up with the desired version"))
    behind = facts.seen.desired_epoch is not None and facts.seen.desired_epoch > facts.serving.epoch
    if behind and not facts.model_error:
        found.append(_warning("model_behind", "a newer version is desired and is being loaded"))
    age = facts.now - facts.serving.model.manifest.created_at
    if age > facts.max_age:
        found.append(_warning("model_old", f"the model was trained {age.days} days ago"))
    return found


def _redis(seen: Surroundings, refusal: str) -> Sequence[Found]:
    found: list[Found] = [_warning("redis_configuration", problem) for problem in seen.server_problems]
    if not seen.redis_up:
        lost = "no jobs, admin commands or promotions; predictions go on"
        if refusal:
            return [_degraded("redis_refused", f"{refusal}. Until then {lost}"), *found]
        return [_degraded("redis_unavailable", f"Redis cannot be reached: {lost}"), *found]
    if seen.scorers == 0:
        return [_degraded("no_scorer", "no scorer is running: jobs are accepted and wait"), *found]
    return found


def _telemetry(facts: Facts) -> Sequence[Found]:
    if facts.telemetry_dropped == 0:
        return []
    detail = f"{facts.telemetry_dropped} predictions were answered and not logged lately, for want of room"
    return [_warning("telemetry_dropped", detail)]


def _fast_path(facts: Facts) -> Sequence[Found]:
    if not facts.fast_path_refused:
        return []
    detail = f"predictions are answered as always, not inside the parser: {facts.fast_path_refused}"
    return [_warning("fast_path_off", detail)]


def _degraded(code: str, detail: str) -> Found:
    return "degraded", Warned(code=code, detail=detail)


def _warning(code: str, detail: str) -> Found:
    return "warning", Warned(code=code, detail=detail)
