from dataclasses import replace
from datetime import timedelta

from services.monitor.alerts import Acknowledgement, Alert
from services.monitor.live_quality import FeedbackCounts, QualityReport, VersionQuality
from services.monitor.monitor import Stats, WindowFigures
from services.monitor.quality import Estimate, Quality
from services.monitor.report.sources import line_of, quality_of
from services.monitor.scorecard import Labelled
from services.monitor.stats import figures
from services.monitor.versions import Training
from shared.error_estimate import EstimatedError
from tests.metrics import declared_stats
from tests.unit.monitor.report_builders import NOW


def an_alert() -> Alert:
    return Alert("a", "drift", "size", "firing", "PSI 0.4", NOW, NOW, 0.4, 0.2, "flats", "7")


def test_an_alert_that_somebody_has_seen_is_told_as_such_until_it_ends() -> None:
    seen = an_alert().seen(Acknowledgement(NOW, "me", ""))
    ended = replace(seen, state="resolved", resolved_at=NOW + timedelta(hours=1))
    assert [line_of(alert).state for alert in (an_alert(), seen, ended)] == ["firing", "acknowledged", "resolved"]


def test_the_champion_comes_first_with_the_newest_estimate_that_there_is() -> None:
    report = QualityReport(
        "flats", "7", NOW, {"6": of_version(3.0), "7": of_version(4.0)}, FeedbackCounts(5, 0, 0, 0, 0, 2, 0)
    )
    found = quality_of(report, some_stats("7", EstimatedError(2.0, (1.5, 2.5), 100, 1.8)))
    assert [version.version for version in found.versions] == ["7", "6"]
    assert list(found.versions[0].scores) == ["24h", "ever"]
    assert found.versions[0].training == {"rmse": 4.0}
    assert found.versions[0].estimated_mae == Estimate(2.0, 1.5, 2.5)
    assert found.versions[1].estimated_mae is None
    assert found.feedback == {"joined": 5, "waiting": 2}


def of_version(rmse: float) -> VersionQuality:
    labelled = Labelled(None, None, Quality(5, Estimate(rmse, None, None), None, None, None))
    return VersionQuality(Training("ridge", {"rmse": rmse}, {}), {"24h": labelled}, labelled)


def some_stats(version: str, error: EstimatedError) -> Stats:
    """Of a version that has an estimate over an hour, and none over five minutes."""
    nothing = WindowFigures(window=None, since=None, all=figures([], None), by_version={version: figures([], None)})
    estimated = replace(nothing, by_version={version: figures([], None, error)})
    return replace(declared_stats(), windows={"5m": nothing, "1h": estimated})
