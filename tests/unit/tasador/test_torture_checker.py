"""Each promise has a history that keeps it and one that breaks it."""

from collections.abc import Sequence

import numpy as np
import pytest

from tasador.torture.checker import PROMISES, check, landed
from tasador.torture.history import (
    Accepted,
    Converged,
    Event,
    Fault,
    History,
    Letters,
    Manifest,
    Predicted,
    Promoted,
    Read,
    Refused,
    Replica,
    Seen,
    Stranger,
    Unread,
)
from tasador.torture.outcome import Expected, Outcome, Records, outcome

NONE_GONE = {"missing": 0, "doubled": 0, "moved": 0, "wrong": 0}


def accepted(at: float = 1.0) -> Accepted:
    return Accepted(at=at, job="j", rows=100)


def seen(at: float, state: str, done: int = 0, failed: int = 0, **fields: object) -> Seen:
    values = {"asked": at - 0.1, "job": "j", "total": 100, "version": "1"} | fields
    return Seen(at=at, state=state, done=done, failed=failed, **values)  # type: ignore[arg-type]


def read(at: float = 9.0, **counts: int) -> Read:
    values = (
        {"total": 100, "records": 100, "values": 99, "errors": 1, "poison": 0, "compared": 100} | NONE_GONE | counts
    )
    return Read(at=at, job="j", outcome=Outcome(**values))  # type: ignore[arg-type]


def manifest(**fields: object) -> Manifest:
    values = {"at": 9.5, "job": "j", "version": "1", "digest": "d", "parts": 1, "rows": 100, "failed": 1} | fields
    return Manifest(**values)  # type: ignore[arg-type]


def predicted(**fields: object) -> Predicted:
    return Predicted(**({"at": 2.0, "status": 200, "seconds": 0.001, "version": "1", "right": True} | fields))  # type: ignore[arg-type]


def fault(kind: str = "kill", at: float = 3.0, **fields: object) -> Fault:
    return Fault(**({"at": at, "began": at - 0.05, "kind": kind, "target": "somebody"} | fields))  # type: ignore[arg-type]


def completed() -> list[Event]:
    return [accepted(), seen(2, "queued"), seen(3, "running", 40), seen(8, "completed", 100, 1), read(), manifest()]


def cancelled(**counts: int) -> list[Event]:
    outcome = {"records": 30, "values": 30, "errors": 0, "compared": 30} | counts
    return [accepted(), seen(3, "running", 40), seen(5, "cancelled", 30), read(**outcome)]


def broken(events: Sequence[Event]) -> set[str]:
    history = History()
    history.note(*events)
    return {verdict.name for verdict in check(history) if not verdict.held}


EVERYTHING_KEPT: dict[str, list[Event]] = {
    "a completed job": completed(),
    "a cancelled job": cancelled(),
    "a job with poison": [*completed()[:4], read(poison=1), Letters(at=9, job="j", rows=1)],
    "a job that starts anew after a flush": [
        accepted(),
        seen(2, "running", 40),
        fault("flush", 2.5),
        seen(3, "queued", 0),
        *completed()[2:],
    ],
    "a look that overlaps a flush": [
        accepted(),
        fault("flush", 2.5),
        seen(2.6, "running", 40, asked=2.4),
        seen(3, "queued", 0),
        *completed()[2:],
    ],
    "a job that cannot be asked about for a while": [*completed()[:3], seen(4, "", status=503), *completed()[3:]],
    "answers while nothing is wrong": [predicted(), Stranger(at=1, status=404), Stranger(at=2, status=503)],
    "a submission that is put off": [
        Refused(at=1, status=503, retry_after=1.0),
        Refused(at=1.5, status=409, retry_after=1.0),
        *completed(),
    ],
    "a promotion": [
        Promoted(at=2, asked=1, version="2", state="succeeded"),
        Replica(at=1, id="a", epoch=1),
        Replica(at=2, id="a", epoch=2),
        Replica(at=2, id="b", epoch=1),
        Converged(at=3, state=True),
    ],
    "a promotion that a flush made forgotten": [
        fault("flush", 1.5),
        Promoted(at=2, asked=1, version="2", state="forgotten"),
    ],
}

BROKEN: dict[str, tuple[str, list[Event]]] = {
    "a job that never ends": ("ends", completed()[:3]),
    "a job that nobody has seen": ("ends", [accepted()]),
    "a failed job": ("not failed", [accepted(), seen(2, "failed")]),
    "an accepted job that is forgotten": ("known", [*completed()[:3], seen(4, "", status=404), *completed()[3:]]),
    "results that cannot be read": ("readable", [*completed()[:4], Unread(at=70, job="j", why="broken off")]),
    "a missing row": ("rows", [*completed()[:4], read(records=99, values=98, missing=1)]),
    "a doubled row": ("rows", [*completed()[:4], read(records=101, values=100, doubled=1)]),
    "a moved row": ("rows", [*completed()[:4], read(moved=2)]),
    "a wrong value": ("values", [*completed()[:4], read(wrong=1)]),
    "two versions in one job": ("one version", [*completed()[:3], seen(8, "completed", 100, 1, version="2"), read()]),
    "two digests of one version": ("one version", [*completed(), manifest(digest="e")]),
    "more errors than told": ("counts", [*completed()[:4], read(values=98, errors=2)]),
    "parts that are too few": ("counts", [*completed()[:5], manifest(rows=99)]),
    "an innocent row that was given up": ("dead letters", [*completed(), Letters(at=9, job="j", rows=1)]),
    "poison without a letter": ("dead letters", [*completed()[:4], read(poison=1), Letters(at=9, job="j", rows=0)]),
    "a gap in a cancelled job": ("prefix", cancelled(missing=1, moved=10)),
    "a cancelled job that told of more": ("prefix", cancelled(records=20, values=20)),
    "lost progress": ("progress", [accepted(), seen(2, "running", 60), *completed()[2:]]),
    "progress lost before a flush": (
        "progress",
        [accepted(), seen(2, "running", 60), seen(2.5, "running", 40), fault("flush", 2.8), *completed()[3:]],
    ),
    "progress lost by a flush that was skipped": (
        "progress",
        [accepted(), seen(2, "running", 60), fault("flush", 2.5, skipped="no"), *completed()[2:]],
    ),
    "an end that is taken back": ("final", [*completed(), seen(10, "running", 100, 1)]),
    "an end that changes": ("final", [*completed(), seen(10, "completed", 100, 2)]),
    "a pending stranger": ("unknown", [Stranger(at=1, status=200)]),
    "a submission that fails": ("refusals", [Refused(at=1, status=500, retry_after=None), *completed()]),
    "a refusal that does not say until when": ("refusals", [Refused(at=1, status=503, retry_after=None)]),
    "a prediction that fails": ("answers", [predicted(status=503)]),
    "a prediction without an answer": ("answers", [predicted(status=0)]),
    "a wrong prediction": ("predictions", [predicted(right=False)]),
    "a promotion that does not end": ("promotions", [Promoted(at=200, asked=1, version="2", state="running")]),
    "replicas that do not agree": ("promotions", [Converged(at=3, state=False)]),
    "an epoch that goes back": ("epochs", [Replica(at=1, id="a", epoch=2), Replica(at=2, id="a", epoch=1)]),
}


@pytest.mark.parametrize("events", EVERYTHING_KEPT.values(), ids=EVERYTHING_KEPT)
def test_a_history_that_keeps_every_promise(events: list[Event]) -> None:
    assert broken(events) == set()


@pytest.mark.parametrize(("promise", "events"), BROKEN.values(), ids=BROKEN)
def test_a_history_that_breaks_a_promise(promise: str, events: list[Event]) -> None:
    assert promise in broken(events)


def test_each_promise_can_be_broken() -> None:
    assert {promise for promise, _ in BROKEN.values()} == set(PROMISES)


def test_what_nothing_was_held_against_is_told() -> None:
    assert [verdict.checked for verdict in check(History())] == [0] * len(PROMISES)


def test_a_fault_lands_in_a_job_that_is_seen_unfinished_after_it() -> None:
    history = History()
    history.note(
        fault("kill", 0.5), *completed(), fault("pause", 2.5), fault("redis", 6), fault("slow", 2.7, skipped="no")
    )
    assert [each.kind for each in landed(history)] == ["pause"]


def some_records(
    index: list[int],
    predictions: list[float | None],
    codes: list[str] | None = None,
    carried: Sequence[int] | None = None,
) -> Records:
    told = codes or ["" if value is not None else "null" for value in predictions]
    numbers = np.array(index if carried is None else carried, np.int64)
    return Records(np.array(index, np.int64), np.array(predictions, np.float64), np.array(told, object), numbers)


EXPECTED = Expected(np.array([0.1, np.nan, 0.3]), np.array(["", "null", ""], object))


def test_what_is_as_expected_is_complete() -> None:
    found = outcome(some_records([0, 1, 2], [0.1, None, 0.3]), 3, EXPECTED)
    assert found.complete
    assert (found.values, found.errors, found.poison, found.compared, found.wrong) == (2, 1, 0, 3, 0)


@pytest.mark.parametrize(
    ("index", "predictions", "counts"),
    [
        ([0, 2], [0.1, 0.3], {"missing": 1, "doubled": 0, "moved": 1}),
        ([0, 1, 1], [0.1, None, None], {"missing": 1, "doubled": 1, "moved": 1}),
        ([1, 0, 2], [None, 0.1, 0.3], {"missing": 0, "doubled": 0, "moved": 2}),
        ([0, 1, 2, 3], [0.1, None, 0.3, 0.4], {"missing": 0, "doubled": 0, "moved": 0}),
        ([0, 1, -1], [0.1, None, 0.3], {"missing": 1, "doubled": 0, "moved": 1}),
        ([], [], {"missing": 3, "doubled": 0, "moved": 0}),
    ],
)
def test_missing_doubled_and_moved_rows_are_told_apart(
    index: list[int], predictions: list[float | None], counts: dict[str, int]
) -> None:
    found = outcome(some_records(index, predictions), 3, EXPECTED)
    assert not found.complete
    assert {name: getattr(found, name) for name in counts} == counts
    assert found.wrong == 0


def test_a_record_that_carries_another_rows_number_is_moved() -> None:
    found = outcome(some_records([0, 1, 2], [0.1, None, 0.3], carried=[0, 2, 2]), 3, EXPECTED)
    assert (found.moved, found.examples) == (1, ("record 1 is of row 1, numbered 2",))


@pytest.mark.parametrize(
    ("predictions", "codes", "example"),
    [
        ([0.1, None, np.nextafter(0.3, 1)], None, "row 2 ended in 0.30000000000000004 instead of 0.3"),
        ([0.1, 5.0, 0.3], None, "row 1 ended in 5.0 instead of error null"),
        ([None, None, 0.3], ["poison", "null", ""], "row 0 ended in error poison instead of 0.1"),
        ([0.1, None, 0.3], ["", "malformed", ""], "row 1 ended in error malformed instead of error null"),
        ([0.1, None, None], ["", "null", ""], "row 2 ended in nan instead of 0.3"),
    ],
)
def test_a_wrong_record_is_named(predictions: list[float | None], codes: list[str] | None, example: str) -> None:
    found = outcome(some_records([0, 1, 2], predictions, codes), 3, EXPECTED)
    assert (found.wrong, found.examples) == (1, (example,))


def test_a_job_that_ended_early_may_have_its_beginning_alone() -> None:
    found = outcome(some_records([0, 1], [0.1, None]), 3, EXPECTED, prefix=True)
    assert (found.missing, found.doubled, found.moved, found.wrong) == (0, 0, 0, 0)
    assert outcome(some_records([0, 2], [0.1, 0.3]), 3, EXPECTED, prefix=True).moved == 1
