from typing import Any

import pytest

from services.trainer.comparison import Comparison, Paired
from services.trainer.decision import Decision, decide
from tests.tables import some_params

AUTOMATIC = ("drift", "quality", "schedule")


def a_pair(difference: float, margin: float = 0.1, rows: int = 500, *, equal: bool = False) -> Paired:
    low, high = difference - margin, difference + margin
    return Paired(rows, "rmse", 3.0 + difference, 3.0, difference, low, high, equal)


BETTER, UNSURE, WORSE = a_pair(-0.5), a_pair(-0.05), a_pair(0.5)
EQUAL = a_pair(0.0, 0.0, equal=True)


def decided(trigger: Any, held_out: Paired | None, labelled: Paired | None = None, **sections: Any) -> Decision:
    reason = "" if held_out else "no such column"
    return decide(trigger, Comparison("7", reason, held_out, labelled), some_params(**sections))


@pytest.mark.parametrize("trigger", ["request", *AUTOMATIC])
def test_only_what_the_whole_interval_calls_better_goes_into_service(trigger: str) -> None:
    assert [decided(trigger, pair).promote for pair in (BETTER, UNSURE, WORSE)] == [True, False, False]


def test_the_decision_has_the_figures_and_says_them() -> None:
    decision = decided("drift", UNSURE)

    assert "RMSE 2.95 against 3 (difference -0.05, 95 % interval -0.15 to 0.05) on 500 held-out rows" in decision.why
    assert "tasador model promote" in decision.why
    held_out = decision.document["figures"]["held_out"]
    assert (held_out["rows"], held_out["difference"], held_out["verdict"]) == (500, -0.05, "undecided")
    assert (decision.trigger, decision.champion) == ("drift", "7")


def test_on_recent_labelled_rows_it_has_to_be_better_too() -> None:
    assert decided("quality", BETTER, UNSURE).promote
    refused = decided("quality", BETTER, a_pair(0.01))
    assert not refused.promote
    assert "not on recent rows" in refused.why
    assert not decided("quality", UNSURE, BETTER).promote


def test_too_few_labelled_rows_are_not_asked() -> None:
    few = a_pair(0.5, rows=99)

    assert decided("drift", BETTER, few).promote
    assert "99 recent labelled rows are too few" in decided("drift", BETTER, few).why
    assert not decided("drift", BETTER, few, quality={"min_labels": 99}).promote


def test_a_person_may_renew_what_answers_the_same_and_nothing_else_may() -> None:
    assert decided("request", EQUAL).promote
    assert decided("request", EQUAL, EQUAL).promote
    assert not decided("request", EQUAL, UNSURE).promote
    for trigger in AUTOMATIC:
        assert not decided(trigger, EQUAL).promote
        assert "no better" in decided(trigger, EQUAL).why


def test_what_cannot_be_compared_goes_into_service_when_a_person_asks() -> None:
    assert decided("request", None).promote
    for trigger in AUTOMATIC:
        assert not decided(trigger, None).promote
    assert "no such column" in decided("drift", None).why


def test_the_first_version_goes_into_service_and_any_other_may_be_held_back() -> None:
    off = some_params(promotion={"automatic": False})

    assert decide("drift", None, off).promote
    refused = decide("request", Comparison("7", held_out=BETTER), off)
    assert not refused.promote
    assert refused.why.startswith("promotion.automatic is off (it is better")


@pytest.mark.parametrize("trigger", ["request", *AUTOMATIC])
def test_what_somebody_went_back_from_does_not_return_by_itself(trigger: Any) -> None:
    decision = decide(trigger, Comparison("7", "", BETTER, None), some_params(), "8")

    assert decision.promote == (trigger == "request")
    assert ("by a rollback from version 8" in decision.why) == (trigger != "request")
