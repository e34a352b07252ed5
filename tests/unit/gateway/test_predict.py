"""What `/predict` and `/predict/batch` answer, whatever the transport."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.batch import EngineFailed
from services.gateway.predict import Predictor
from services.gateway.problems import Problem
from shared.follower import Serving
from shared.signature import Feature
from tests.unit.gateway.fakes import Broken, Follower, Log, a_model

GOOD = {"a": 1, "b": 2, "colour": "red"}


class Gateway:
    """A predictor with what it was given."""

    def __init__(self, max_rows: int = 100, max_batches: int = 2) -> None:
        self.follower, self.log = Follower(), Log()
        self.predictor = Predictor(self.follower, self.log, max_rows=max_rows, max_batches=max_batches)

    def predict(self, row: object) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.predictor.handle(as_body(row), "id"))
        return answer

    async def batch(self, body: object) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self.predictor.handle_batch(as_body(body), "id"))
        return answer

    def refused(self, row: object) -> Problem:
        with pytest.raises(Problem) as caught:
            self.predictor.handle(as_body(row), "id")
        assert not self.log.rows
        return caught.value

    async def batch_refused(self, body: object) -> Problem:
        with pytest.raises(Problem) as caught:
            await self.predictor.handle_batch(as_body(body), "id")
        return caught.value


def as_body(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def errors(problem: Problem) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for error in problem.errors]


def test_a_row_is_answered_with_the_version_that_scored_it(gateway: Gateway) -> None:
    answer = gateway.predict(GOOD)
    seconds = answer.pop("inference_time")
    assert answer == {
        "prediction": 4.0,
        "model_name": "model",
        "model_version": "1",
        "request_id": "id",
        "warnings": [],
    }
    assert 0 < seconds < 60


def test_an_absent_field_is_a_null(gateway: Gateway) -> None:
    assert gateway.predict({"a": 1})["prediction"] == gateway.predict({"a": 1, "b": None, "colour": None})["prediction"]


def test_unusual_values_are_scored_and_warned_of(gateway: Gateway) -> None:
    answer = gateway.predict({"a": 11, "b": 2, "colour": "green"})
    assert answer["prediction"] == 12.0
    assert [(w["field"], w["code"]) for w in answer["warnings"]] == [
        ("a", "out_of_range"),
        ("colour", "unknown_category"),
    ]
    assert answer["warnings"][1]["detail"] == '"green" was not seen in training'


def test_every_bad_field_is_named(gateway: Gateway) -> None:
    problem = gateway.refused({"b": "2", "colour": 7, "c/d": 1})
    assert problem.slug == "invalid-row"
    assert errors(problem) == [
        ("/a", "missing"),
        ("/b", "wrong_type"),
        ("/colour", "wrong_type"),
        ("/c~1d", "unknown_field"),
    ]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400, "-" + "1" * 5000])
def test_a_number_that_is_not_finite_is_named_with_its_field(gateway: Gateway, number: str) -> None:
    problem = gateway.refused(b'{"a": %s, "b": null}' % number.encode())
    assert (problem.slug, errors(problem)) == ("invalid-row", [("/a", "not_finite")])


@pytest.mark.parametrize("value", [None, True, "1", [1], {"x": 1}])
def test_what_is_no_number_is_refused(gateway: Gateway, value: object) -> None:
    assert errors(gateway.refused({"a": value}))[0][0] == "/a"


@pytest.mark.parametrize("value", [[GOOD], "text", 1, None, True])
def test_what_is_no_object_is_refused(gateway: Gateway, value: object) -> None:
    problem = gateway.refused(value)
    assert (problem.slug, errors(problem)) == ("invalid-row", [("", "wrong_type")])


def test_a_batch_sent_as_a_row_is_told_where_to_go(gateway: Gateway) -> None:
    assert "/predict/batch" in gateway.refused({"instances": [GOOD]}).detail


def test_the_last_of_two_equal_keys_wins(gateway: Gateway) -> None:
    assert gateway.predict(b'{"a": "x", "a": 3, "b": 0, "colour": "blue"}')["prediction"] == 3.0


def test_a_body_that_is_no_json_is_not_answered_even_if_its_last_values_are_good(gateway: Gateway) -> None:
    assert gateway.refused(b'{"a": NaN, "a": 3}').slug == "malformed-body"


def test_thousands_of_unknown_fields_do_not_make_a_huge_answer(gateway: Gateway) -> None:
    problem = gateway.refused({"a": 1} | {f"x{i}": 0 for i in range(5000)})
    assert len(problem.errors) == 1000
    assert "5000 fields" in problem.detail


def test_without_a_model_the_caller_is_told_to_come_back(gateway: Gateway) -> None:
    gateway.follower.current = None
    problem = gateway.refused(GOOD)
    assert (problem.status, problem.slug) == (503, "no-model")
    assert "Retry-After" in problem.headers


def test_an_answered_row_is_logged(gateway: Gateway) -> None:
    gateway.predict(GOOD)
    (row,) = gateway.log.rows
    assert (row.request_id, row.position, row.mode, row.features, row.prediction) == ("id", 0, "single", [1, 2, 1], 4)


async def test_rows_without_a_prediction_are_counted(gateway: Gateway) -> None:
    gateway.refused({"a": "x"})
    gateway.refused(b"{")  # nobody knows whether that is a row
    assert gateway.log.failed == {("single", "1"): 1}
    await gateway.batch({"instances": [GOOD, {"a": "x", "z": 1}, 7]})
    await gateway.batch_refused({"instances": []})
    assert gateway.log.failed == {("single", "1"): 1, ("batch", "1"): 2}


async def test_rows_on_which_the_engine_fails_are_counted(gateway: Gateway) -> None:
    gateway.follower.current = Serving(replace(a_model(), engine=Broken()), 1)
    with pytest.raises(ZeroDivisionError):
        gateway.predict(GOOD)
    with pytest.raises(ZeroDivisionError):
        await gateway.predictor.handle_slowly(as_body(GOOD), "id")
    with pytest.raises(EngineFailed):
        await gateway.batch({"instances": [GOOD, GOOD, {"a": "x"}]})
    assert gateway.log.failed == {("single", "1"): 2, ("batch", "1"): 3}
    assert not gateway.log.rows


async def test_a_batch_has_a_value_or_an_error_for_each_row(gateway: Gateway) -> None:
    answer = await gateway.batch({"instances": [GOOD, {"a": "x", "z": 1}, {"a": 2}, 7]})
    assert answer["predictions"] == [4.0, None, 2002.0, None]
    assert [(e["index"], e["field"], e["code"]) for e in answer["errors"]] == [
        (1, "a", "wrong_type"),
        (1, "z", "unknown_field"),
        (3, "", "wrong_type"),
    ]
    assert answer["count"] == 4
    assert set(answer) == {
        "predictions",
        "errors",
        "count",
        "model_name",
        "model_version",
        "inference_time",
        "request_id",
    }


async def test_a_batch_equals_its_rows_one_by_one(gateway: Gateway) -> None:
    rows = [{"a": i / 7, "colour": "blue"} for i in range(50)]
    together = (await gateway.batch({"instances": rows}))["predictions"]
    assert together == [gateway.predict(row)["prediction"] for row in rows]


async def test_nan_in_one_row_of_a_batch_costs_that_row(gateway: Gateway) -> None:
    answer = await gateway.batch(b'{"instances": [{"a": NaN}, {"a": 1}]}')
    assert answer["predictions"] == [None, 2001.0]
    assert answer["errors"][0]["code"] == "not_finite"


async def test_a_batch_of_bad_rows_only_is_answered(gateway: Gateway) -> None:
    answer = await gateway.batch({"instances": [{}, {}]})
    assert (answer["predictions"], answer["count"], gateway.log.rows) == ([None, None], 2, [])


async def test_every_bad_row_of_a_batch_has_its_first_error() -> None:
    gateway = Gateway(max_rows=2000)
    answer = await gateway.batch({"instances": [{"b": "x", "colour": 1}] * 2000})
    assert {e["index"] for e in answer["errors"]} == set(range(2000))
    assert len(answer["errors"]) < 2 * 2000


async def test_a_name_that_utf8_cannot_say_is_answered(gateway: Gateway) -> None:
    answer = await gateway.batch(rb'{"instances": [{"a": 1, "\ud800": 1}, {"a": NaN}]}')
    assert answer["errors"][0] == {
        "index": 0,
        "field": "?",
        "code": "unknown_field",
        "detail": "the model has no such feature",
    }


@pytest.mark.parametrize(
    ("body", "slug", "pointers"),
    [
        ([], "invalid-body", [""]),
        ({}, "invalid-body", ["/instances"]),
        ({"instances": {}}, "invalid-body", ["/instances"]),
        ({"instances": [GOOD], "version": 2}, "invalid-body", ["/version"]),
        ({"rows": []}, "invalid-body", ["/instances", "/rows"]),
        ({"instances": []}, "empty-table", ["/instances"]),
        ({"instances": [GOOD] * 101}, "too-many-rows", []),
        (b'{"instances": [', "malformed-body", []),
    ],
)
async def test_a_batch_that_cannot_be_used_is_refused(
    gateway: Gateway, body: object, slug: str, pointers: list[str]
) -> None:
    problem = await gateway.batch_refused(body)
    assert (problem.slug, [error.pointer for error in problem.errors]) == (slug, pointers)


async def test_too_many_rows_points_at_jobs(gateway: Gateway) -> None:
    assert "/jobs" in (await gateway.batch_refused({"instances": [GOOD] * 101})).detail


async def test_the_rows_of_a_batch_are_logged_at_their_places(gateway: Gateway) -> None:
    await gateway.batch({"instances": [{}, GOOD, {"a": 2}]})
    assert [(row.position, row.mode, row.prediction) for row in gateway.log.rows] == [
        (1, "batch", 4.0),
        (2, "batch", 2002.0),
    ]


async def test_a_promotion_while_a_batch_runs_does_not_mix_versions(gateway: Gateway) -> None:
    running = asyncio.create_task(gateway.batch({"instances": [{"a": 1}] * 100}))
    await asyncio.sleep(0)
    gateway.follower.current = Serving(a_model("2", Feature(name="other", kind="numeric", nullable=False)), 2)
    answer = await running
    assert answer["model_version"] == "1"
    assert answer["errors"] == []
    assert {row.model.version for row in gateway.log.rows} == {"1"}


def test_batches_beyond_the_limit_are_refused_before_they_are_read(gateway: Gateway) -> None:
    with gateway.predictor.admitted(), gateway.predictor.admitted():
        with pytest.raises(Problem, match="2 batches") as caught, gateway.predictor.admitted():
            pass
        assert caught.value.slug == "overloaded"
    with gateway.predictor.admitted():
        pass
