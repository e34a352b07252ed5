"""When the monitor asks for a new model: after drift that lasts, not too often, and not twice at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.alerts import Alert
from services.monitor.conditions import Rule
from services.monitor.retraining import DAY, Policy, Request, decide, earliest, kept, remaining

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
POLICY = Policy(cooldown=3600)
HOUR = timedelta(hours=1)


def an_alert(rule: Rule = "drift", bad: int = 2, good: int = 0, subject: str = "size") -> Alert:
    return Alert(
        id="a",
        rule=rule,
        subject=subject,
        state="firing",
        reason="psi 0.4, over 0.2",
        since=NOW - HOUR,
        updated_at=NOW,
        value=0.4,
        threshold=0.2,
        model_name="model",
        model_version="1",
        bad_evaluations=bad,
        good_evaluations=good,
    )


def made(*before: timedelta) -> list[Request]:
    return [Request(NOW - each, "drift", "because", "op", "1") for each in before]


def verdict(*alerts: Alert, policy: Policy = POLICY, requests: list[Request] | None = None, busy: bool = False) -> str:
    return decide(policy, alerts, requests or [], NOW, busy=busy).verdict


def test_drift_has_to_last_and_bad_quality_has_not() -> None:
    assert verdict(an_alert(bad=1)) == "idle"
    assert verdict(an_alert(bad=2)) == "requested"
    assert verdict(an_alert(bad=2), policy=replace(POLICY, after=3)) == "idle"
    assert verdict(an_alert("quality", bad=1)) == "requested"
    assert verdict(an_alert("latency", bad=9)) == "idle"
    assert verdict(an_alert("quality", bad=0, good=1)) == "idle"  # about to end
    assert verdict(replace(an_alert(), state="resolved")) == "idle"
    before = NOW - HOUR
    assert verdict(replace(an_alert(), updated_at=before)) == "idle"  # nobody knows whether it still is so
    assert verdict(replace(an_alert("quality", bad=1), updated_at=before)) == "idle"
    assert verdict() == "idle"


def test_the_decision_names_what_asks_for_it() -> None:
    both = decide(POLICY, [an_alert(), an_alert("quality", 1)], [], NOW, busy=False)
    assert (both.trigger, both.reason) == ("quality", "quality of size since 2026-02-01 11:00: psi 0.4, over 0.2")
    many = decide(POLICY, [an_alert(subject=f"f{i}") for i in range(8)], [], NOW, busy=False)
    assert many.trigger == "drift"
    assert many.reason.count("drift of") == 5
    assert many.reason.endswith("; and 3 more")


def test_what_is_in_the_way_is_said() -> None:
    assert verdict(an_alert(), policy=replace(POLICY, automatic=False)) == "off"
    assert verdict(an_alert(), busy=True) == "busy"
    assert verdict(an_alert(), requests=made(HOUR / 2)) == "cooldown"
    assert verdict(an_alert(), requests=made(HOUR)) == "requested"
    assert verdict(an_alert(), requests=made(9 * HOUR, 8 * HOUR)) == "budget"
    assert verdict(an_alert(), requests=made(25 * HOUR, 8 * HOUR)) == "requested"
    assert verdict(an_alert(), policy=replace(POLICY, per_day=0)) == "budget"
    held = decide(POLICY, [an_alert()], made(HOUR / 2), NOW, busy=False)
    assert held.reason.startswith("one request in 3600 s: not before 2026-02-01T12:30:00+00:00; drift of size")


def test_a_budget_that_was_lowered_is_free_again_when_enough_requests_are_a_day_old() -> None:
    requests = made(23 * HOUR, 8 * HOUR, 7 * HOUR)
    assert earliest(POLICY, requests, NOW) == NOW + 16 * HOUR
    assert remaining(POLICY, requests, NOW) == 0


def test_a_manifest_that_says_nothing_leaves_the_defaults() -> None:
    assert Policy.of({}) == Policy(True, 2, 21_600.0, 2)
    assert Policy.of({"per_day": 5, "schedule": "0 3 * * 0", "labelled_rows": True}) == Policy(per_day=5)


@given(
    st.integers(0, 4),
    st.sampled_from((0.0, 1800.0, 3600.0, 40_000.0)),
    st.lists(st.integers(1, 180), max_size=150),
)
def test_budget_and_cooldown_hold_whenever_it_is_evaluated(per_day: int, cooldown: float, steps: list[int]) -> None:
    policy, now, requests = Policy(per_day=per_day, cooldown=cooldown), NOW, list[Request]()
    everything = list[Request]()
    for minutes in steps:
        now += timedelta(minutes=minutes)
        before, free = remaining(policy, requests, now), earliest(policy, requests, now)
        asked = decide(policy, [replace(an_alert(), updated_at=now)], requests, now, busy=False).verdict == "requested"
        assert asked == (free == now)
        if asked:
            assert before > 0
            everything.append(Request(now, "drift", "because", "op", "1"))
            requests = list(kept([*requests, everything[-1]], now))
    times = [request.at for request in everything]
    for at in times:
        assert sum(at - DAY < each <= at for each in times) <= per_day
    for i in range(1, len(times)):
        assert times[i] - times[i - 1] >= timedelta(seconds=cooldown)


@pytest.mark.parametrize("count", [1, 20, 60])
def test_requests_that_the_budget_needs_are_kept(count: int) -> None:
    requests = made(*(timedelta(minutes=30 * (count - i)) for i in range(count)))
    assert kept(requests, NOW) == tuple(requests[-max(20, min(count, 47)) :])
