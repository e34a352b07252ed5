import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from services.monitor.quality import Quality as Scored
from services.monitor.report import history, words
from services.monitor.report.data import AlertLine, Bar, Condition, DriftHistory, Quality, VersionQuality
from services.monitor.report.page import LISTED, PICTURED, render, tiles
from services.monitor.windows import DAY, HOUR, MINUTE, Window
from shared.profile import Summary
from tests.unit.monitor.report_builders import (
    NOW,
    a_column,
    a_comparison,
    a_history,
    a_mode,
    a_report,
    an_estimate,
    scored,
)

EVIL = "<script>alert(1)</script>\"' onload=x"


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def an_alert(**fields: object) -> AlertLine:
    found = AlertLine("firing", "drift", "size", "PSI 0.4, over 0.2", NOW - timedelta(hours=2))
    return replace(found, **fields)  # type: ignore[arg-type]


def a_quality(scores: dict[str, Scored], version: str = "7") -> Quality:
    return Quality(
        (VersionQuality(version, {"rmse": 3.0, "mae": 2.0, "r2": 0.9}, scores, an_estimate(2.25, 2.0, 2.5)),),
        {"joined": 40},
    )


def test_a_report_of_nothing_says_so_in_every_section() -> None:
    found = Page(render(a_report(version=None, target=None, comparison=None)))
    assert found.text.count("Nothing yet") == 3
    assert "None fires" in found.text
    assert "No predictions in this time" in found.text
    assert "no version in service" in found.text


def test_a_report_shows_every_part() -> None:
    report = a_report(
        alerts=(an_alert(), an_alert(state="resolved", subject="zone", resolved_at=NOW)),
        quality=a_quality({"24h": scored(40, an_estimate(4.0, 3.5, 4.5), an_estimate(2.5))}),
        history=a_history(a_mode([1e-5] * 4), drift=DriftHistory((("size", (0.1,) * 4),))),
    )
    page = render(report)
    found = Page(page)
    assert "Nothing yet" not in page
    pictures = [attributes["aria-label"] or "" for tag, attributes in found.tags if tag == "svg"]
    for begin in ("Distribution of prediction", "Distribution of size", "Drift over time", "Engine time", "RMSE of"):
        assert any(each.startswith(begin) for each in pictures), begin
    for said in ("PSI 0.4, over 0.2", "resolved", "joined 40", "2.25 (2 to 2.5)", "flats", "predicts price in EUR"):
        assert said in re.sub(r"\s+", " ", found.text), said


def test_names_from_outside_are_text_and_nothing_else() -> None:
    column = a_column(EVIL, categories=(Bar(EVIL, 0.5, 0.5),), histogram=None, facts=((EVIL, EVIL),))
    others = [a_column(f"{EVIL}{i}") for i in range(PICTURED)]
    report = a_report(
        model=EVIL,
        version=EVIL,
        target=EVIL,
        unit=EVIL,
        asked=EVIL,
        condition=Condition("warning", (EVIL,)),
        comparison=a_comparison(column, *others),
        history=a_history(drift=DriftHistory(((EVIL, (0.1,) * 4),))),
        alerts=(an_alert(subject=EVIL, reason=EVIL, rule=EVIL),),
        quality=a_quality({EVIL: scored(40, an_estimate(4.0))}, EVIL),
    )
    found = Page(render(report))
    assert found.text.count("<script>") > PICTURED
    assert "script" not in {tag for tag, _ in found.tags}
    assert not [attributes for _, attributes in found.tags for name in attributes if name.startswith("on")]


def test_a_page_needs_nothing_from_elsewhere() -> None:
    page = render(a_report(alerts=(an_alert(),)))
    found = Page(page)
    links = [a.get(name) for _, a in found.tags for name in ("href", "src", "action", "data") if name in a]
    assert {link for link in links if link and not link.startswith("?")} == {"data:,"}
    assert not re.search(r"https?://|url\(|@import", page)
    assert {tag for tag, _ in found.tags} & {"script", "img", "iframe", "object", "form"} == set()
    (policy,) = [a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_a_page_of_many_features_stays_small() -> None:
    columns = [a_column(f"a rather long name of feature {i}") for i in range(LISTED + PICTURED + 30)]
    page = render(a_report(comparison=a_comparison(*columns)))
    assert page.count("Distribution of") == PICTURED + 1
    assert "And 30 more" in page
    assert f"feature {LISTED + PICTURED - 1}<" in page
    assert f"feature {LISTED + PICTURED}<" not in page
    assert len(page) < 500_000


def test_how_far_out_of_the_range_values_are_is_said_below_the_picture() -> None:
    column = a_column(asides=(Bar("below", 0.0, 0.0), Bar("above", 0.0, 0.5, "mean 91")))
    assert "above the range mean 91" in Page(render(a_report(comparison=a_comparison(column)))).text


def test_a_name_that_never_ends_is_cut() -> None:
    page = render(a_report(model="m" * 10_000, comparison=a_comparison(a_column("n" * 10_000))))
    assert "m" * 100 not in page
    assert "n" * 400 not in page


def test_tiles_say_what_somebody_should_look_at() -> None:
    report = a_report(
        dropped=3,
        comparison=a_comparison(a_column(state="drifted"), a_column("zone", state="suspect")),
        alerts=(an_alert(), an_alert(state="acknowledged"), an_alert(state="resolved")),
        history=a_history(a_mode([1e-5, None])),
        quality=a_quality({"24h": scored(0, None), "7d": scored(40, an_estimate(4.0, 3.5, 4.5))}),
    )
    found = {tile.name: tile for tile in tiles(report)}
    assert {name for name, tile in found.items() if tile.tone == "bad"} == {
        "Drifted",
        "Alerts firing",
        "Live RMSE",
        "Not counted",
    }
    assert (found["Drifted"].value, found["Drifted"].note) == ("1", "of 3 columns, in 1,000 rows; 1 suspect")
    assert found["Alerts firing"].value == "2"
    assert found["Live RMSE"].note == "7d; training 3"
    assert found["p99 of engine time"].value == "40 µs"


def test_an_error_within_its_interval_is_no_news() -> None:
    quality = a_quality({"24h": scored(40, an_estimate(3.1, 2.5, 3.6))})
    (tile,) = [tile for tile in tiles(a_report(quality=quality)) if tile.name == "Live RMSE"]
    assert tile.tone == ""


@pytest.mark.parametrize(
    ("window", "size", "count"),
    [(Window(MINUTE, 100, 105, 6330.0), 1, 6), (Window(HOUR, 0, 168, 608_000.0), 4, 43)],
)
def test_a_timeline_is_pieces_of_whole_buckets(window: Window, size: int, count: int) -> None:
    pieces = history.steps(window)
    assert len(pieces) == count <= history.STEPS
    assert [number for piece in pieces for number in piece.numbers] == list(window.numbers)
    assert {len(piece.numbers) for piece in pieces[:-1]} == {size}
    assert sum(piece.seconds for piece in pieces) == pytest.approx(window.seconds)


def test_a_timeline_is_a_day_or_what_there_is_by_the_minute() -> None:
    now = 1_000_000.0
    assert history.timeline(None, now, now - 2 * HOUR).span == MINUTE
    assert history.timeline(None, now, now - 20 * HOUR).span == HOUR
    assert history.timeline(None, now, None).seconds >= DAY
    assert history.timeline(300.0, now, None).seconds == pytest.approx(300, abs=MINUTE)


def test_what_modes_did_is_told_step_by_step() -> None:
    pieces = [Window(MINUTE, 0, 0, 60.0), Window(MINUTE, 1, 1, 120.0)]
    counted: list[Summary] = [{"rows:single": 120, "t:single:40": 120, "ns:single": 9}, {}]
    (found,) = history.modes(pieces, counted)
    assert (found.mode, found.rows, found.throughput) == ("single", 120, (2.0, 0.0))
    assert [each.p50 is None for each in found.latency] == [False, True]


def test_numbers_are_written_for_a_reader() -> None:
    said = [words.number(v) for v in (None, -0.0, 0.00012, 0.01234, 12.345, 1234.5, 2e7, float("nan"))]
    assert said == ["–", "0", "1.20e-04", "0.0123", "12.3", "1,234", "2.00e+07", "–"]
    assert [words.percent(v) for v in (None, 0.0, 0.0001, 0.123, 1.0)] == ["–", "0 %", "< 0.1 %", "12.3 %", "100 %"]
    assert [words.seconds(v) for v in (None, 4.1e-5, 0.0012, 3.0)] == ["–", "41 µs", "1.2 ms", "3 s"]
    assert [words.span(v) for v in (45, 720, 12_600, 3 * DAY)] == ["45 s", "12 min", "3.5 h", "3 days"]
