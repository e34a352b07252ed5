"""Alerts as a state machine: any sequence of evaluations tells each change once, and nothing flaps."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.alerts import RESOLVE_AFTER, RESOLVED_KEPT, RESOLVED_LIFE, Alert, Outcome, Served, judge
from services.monitor.conditions import Condition, Rule, State

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SERVED = Served("model", "1")


def a_condition(state: State, subject: str = "size", rule: Rule = "drift", version: str | None = "1") -> Condition:
    return Condition(rule, subject, state, f"it is {state}", 0.4, 0.2, version)


class Watcher:
    """Judges one evaluation after the other, an hour apart."""

    def __init__(self) -> None:
        self.alerts: tuple[Alert, ...] = ()
        self.now = NOW
        self._ids = count(1)

    def look(self, *conditions: Condition, served: Served = SERVED) -> list[tuple[str, str]]:
        """Return subject and state of what is told."""
        self.now += HOUR
        outcome: Outcome = judge(self.alerts, conditions, served, self.now, lambda: f"alert {next(self._ids)}")
        self.alerts = outcome.alerts
        return [(alert.subject, alert.state) for alert in outcome.told]

    def states(self, *states: State) -> list[str]:
        """Return what is told of each in turn: f, r or nothing."""
        return ["".join(told[0] for _, told in self.look(a_condition(state))) for state in states]


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ("b", "f"),
        ("bbb", "f.."),
        ("gu", ".."),
        ("bgg", "f.r"),
        ("bgbgg", "f...r"),  # one good evaluation is no end
        ("bgug", "f..r"),  # what is unsure neither ends anything nor begins it anew
        ("buuuu", "f...."),
        ("bggb", "f.rf"),
        ("bguubg", "f....."),
    ],
)
def test_a_bad_evaluation_fires_and_two_good_ones_in_a_row_resolve(states: str, told: str) -> None:
    names: dict[str, State] = {"b": "bad", "g": "good", "u": "unsure"}
    assert [each or "." for each in Watcher().states(*(names[each] for each in states))] == list(told)


def test_an_alert_that_goes_on_is_updated_silently() -> None:
    watcher = Watcher()
    watcher.look(a_condition("bad"))
    (first,) = watcher.alerts
    assert watcher.look(replace(a_condition("bad"), value=0.9, reason="worse")) == []
    (second,) = watcher.alerts
    assert second == replace(
        first, value=0.9, reason="worse", updated_at=watcher.now, bad_evaluations=2, good_evaluations=0
    )
    assert (second.since, second.model_version, second.state) == (first.since, "1", "firing")
    watcher.look(a_condition("unsure"))
    assert watcher.alerts == (second,)


def test_one_that_comes_back_is_another_alert() -> None:
    watcher = Watcher()
    watcher.states("bad", "good", "good", "bad")
    newest, oldest = watcher.alerts
    assert (newest.id, newest.state, oldest.id, oldest.state) == ("alert 2", "firing", "alert 1", "resolved")
    assert oldest.resolved_at == newest.since - HOUR
    assert oldest.reason == "it is good"


def test_what_has_no_condition_stays_as_it_is() -> None:
    watcher = Watcher()
    watcher.look(a_condition("bad"), a_condition("bad", "single", "latency", None))
    before = watcher.alerts
    assert watcher.look() == watcher.look(a_condition("good", version="another")) == []
    assert watcher.alerts == before


def test_another_version_resolves_what_was_said_of_the_old_one_and_says_so() -> None:
    watcher = Watcher()
    watcher.look(a_condition("bad"), a_condition("bad", "grade"), a_condition("bad", "single", "latency", None))
    told = watcher.look(a_condition("bad", version="2"), served=Served("model", "2"))
    assert sorted(told) == [("grade", "resolved"), ("size", "firing"), ("size", "resolved")]
    found = {(each.subject, each.model_version): each for each in watcher.alerts}
    assert found["grade", "1"].reason == "version 2 of model serves now"
    assert found["single", None].firing
    assert [each.model_version for each in watcher.alerts if each.firing and each.subject == "size"] == ["2"]
    told = watcher.look(served=Served("another model", "2"))
    assert sorted(told) == [("single", "resolved"), ("size", "resolved")]


def test_resolved_alerts_are_kept_for_a_while_and_never_more_than_so_many() -> None:
    watcher = Watcher()
    watcher.look(*(a_condition("bad", f"f{i}") for i in range(RESOLVED_KEPT + 5)), a_condition("bad"))
    for _ in range(RESOLVE_AFTER):
        watcher.look(*(a_condition("good", f"f{i}") for i in range(RESOLVED_KEPT + 5)))
    assert sum(not each.firing for each in watcher.alerts) == RESOLVED_KEPT
    watcher.now += RESOLVED_LIFE - HOUR
    watcher.look()
    assert len(watcher.alerts) == RESOLVED_KEPT + 1
    watcher.look()
    assert [each.subject for each in watcher.alerts] == ["size"]


STATES: st.SearchStrategy[State] = st.sampled_from(("bad", "unsure", "good"))
EVALUATIONS = st.lists(
    st.tuples(st.dictionaries(st.sampled_from(("a", "b", "c")), STATES), st.sampled_from(("1", "2"))), max_size=25
)


@given(EVALUATIONS)
def test_of_any_sequence_each_change_is_told_once(evaluations: Sequence[tuple[dict[str, State], str]]) -> None:
    watcher, told = Watcher(), list[tuple[str, str]]()
    serving = "1"
    for states, version in evaluations:
        before = {each.id: each for each in watcher.alerts}
        conditions = [a_condition(state, subject, version=version) for subject, state in states.items()]
        found = watcher.look(*conditions, served=Served("model", version))
        told += found
        firing = [each for each in watcher.alerts if each.firing]
        assert len({each.subject for each in firing}) == len(firing)  # one at a time
        assert all(each.model_version == version for each in firing)
        for each in watcher.alerts:
            old = before.get(each.id)
            if old is None:
                assert states[each.subject] == "bad"
            elif old.firing and not each.firing:
                assert version != serving or states[each.subject] == "good"
            elif not old.firing:
                assert each == old  # what has ended is never touched again
        assert all(each.firing or each.resolved_at for each in watcher.alerts)
        serving = version
    for subject in "abc":
        changes = [state for name, state in told if name == subject]
        # In pairs; where the version changed, the old one's end and the new one's beginning come together.
        assert abs(changes.count("firing") - changes.count("resolved")) <= 1
        assert changes.count("firing") == sum(each.subject == subject for each in watcher.alerts)
