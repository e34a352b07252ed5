"""Alerts and live quality, as the report shows them. Pure."""

from dataclasses import asdict

from services.monitor.alerts import Alert
from services.monitor.live_quality import QualityReport
from services.monitor.monitor import Stats
from services.monitor.quality import Estimate
from services.monitor.report.data import AlertLine, Quality, Scores, VersionQuality

EVER = "ever"


def line_of(alert: Alert) -> AlertLine:
    return AlertLine(
        state=alert.state,
        rule=alert.rule,
        subject=alert.subject,
        reason=alert.reason,
        since=alert.since,
        resolved_at=alert.resolved_at,
    )


def quality_of(report: QualityReport, stats: Stats) -> Quality:
    """Return the live quality of each version, the champion first, and what the features suggest of the newest rows."""
    names = sorted(report.versions, key=lambda version: version != report.model_version)
    return Quality(
        versions=[_version(name, report, stats) for name in names],
        feedback={outcome: values for outcome, values in asdict(report.feedback).items() if values},
    )


def _version(name: str, report: QualityReport, stats: Stats) -> VersionQuality:
    found = report.versions[name]
    scores: dict[str, Scores] = {window: labelled.quality for window, labelled in found.windows.items()}
    scores[EVER] = found.lifetime.quality
    return VersionQuality(name, found.training.test, scores, _estimated(name, stats))


def _estimated(version: str, stats: Stats) -> Estimate | None:
    """Return the estimated error of the shortest window that has one: it is about now."""
    for window in stats.windows.values():
        figures = window.by_version.get(version)
        if figures is not None and figures.estimated_error is not None:
            error = figures.estimated_error
            return Estimate(error.mae, *error.ci)
    return None
