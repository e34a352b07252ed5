"""`/metrics` as JSON: what was answered, in figures that can be added up over workers."""

from collections.abc import Iterable
from typing import Self

import numpy as np
from pydantic import BaseModel

from services.gateway.tally import Moments, Predictions
from shared import latency


class Summary(BaseModel):
    """Of this replica, or of all workers, since they started. Times in seconds; None before the first prediction."""

    total_predictions: int
    predictions_per_hour: float
    avg_inference_time: float | None
    p50_inference_time: float | None
    p95_inference_time: float | None
    p99_inference_time: float | None
    avg_prediction: float | None
    std_prediction: float | None
    uptime_hours: float


class Figures(BaseModel):
    """What a summary is made of."""

    total: int
    durations: list[int]
    """In the bins of `shared.latency`."""
    seconds: float
    answers: tuple[int, float, float]
    """Number, mean, and squared differences from it."""
    uptime_hours: float

    @classmethod
    def of(cls, predictions: Predictions, uptime_hours: float) -> Self:
        single, batch = predictions.inference["single"], predictions.inference["batch"]
        return cls(
            total=predictions.total,
            durations=(single.array() + batch.array()).tolist(),
            seconds=single.total + batch.total,
            answers=predictions.answers.parts,
            uptime_hours=uptime_hours,
        )


def together(some: Iterable[Figures]) -> Figures:
    """Return the figures of several workers; up for as long as the oldest."""
    each = list(some)
    answers = Moments()
    for one in each:
        answers.merge(*one.answers)
    return Figures(
        total=sum(one.total for one in each),
        durations=np.sum([one.durations for one in each], axis=0).tolist(),
        seconds=sum(one.seconds for one in each),
        answers=answers.parts,
        uptime_hours=max(one.uptime_hours for one in each),
    )


def summary(figures: Figures) -> Summary:
    counts, total, answers = np.array(figures.durations), figures.total, Moments(*figures.answers)
    return Summary(
        total_predictions=total,
        predictions_per_hour=total / max(figures.uptime_hours, 1e-9),
        avg_inference_time=figures.seconds / total if total else None,
        p50_inference_time=latency.quantile(counts, 0.5),
        p95_inference_time=latency.quantile(counts, 0.95),
        p99_inference_time=latency.quantile(counts, 0.99),
        avg_prediction=answers.mean if total else None,
        std_prediction=answers.std if total else None,
        uptime_hours=figures.uptime_hours,
    )
