"""What a body of feedback says, or what is wrong with it; and the events that carry it."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.feedback.items import Item
from services.gateway.feedback.reading import items_in
from services.gateway.feedback.service import events_of
from services.gateway.problems import Problem
from services.gateway.tables import Format
from shared.events import FEEDBACK_ROWS

JOB = "019aab3c-5b1c-7d0e-9c7f-3f2e5f0c9c1a"
LIMIT = 1000
ITEMS = [Item("a", None, 0, 21.5), Item("b:1", None, 4, 30.0), Item(None, JOB, 17, -1.25)]


def document(*items: object) -> bytes:
    return json.dumps({"feedback": items}).encode()


def read(body: bytes, kind: Format = Format.JSON, limit: int = LIMIT) -> list[Item]:
    return list(items_in(body, kind, limit))


def refused(body: bytes, kind: Format = Format.JSON, limit: int = LIMIT) -> Problem:
    with pytest.raises(Problem) as caught:
        read(body, kind, limit)
    return caught.value


def wrong(*items: object) -> list[tuple[str, str]]:
    problem = refused(document(*items))
    assert problem.slug == "invalid-feedback"
    return [(error.pointer, error.code) for error in problem.errors]


def test_values_are_told_by_request_and_index_or_by_job_and_row() -> None:
    body = document(
        {"request_id": "a", "actual": 21.5},
        {"request_id": "b:1", "index": 4, "actual": 30},
        {"job_id": JOB, "row": 17, "actual": -1.25},
    )
    assert read(body) == ITEMS


def test_json_lines_and_csv_say_the_same() -> None:
    lines = (
        b'\xef\xbb\xbf{"actual": 21.5, "request_id": "a"}\r\n\n'
        b'{"request_id": "b:1", "index": 4.0, "job_id": null, "row": null, "actual": 30}\n'
        b'{"job_id": "%b", "row": 17, "actual": -1.25}' % JOB.encode()
    )
    table = (
        b'\xef\xbb\xbf,actual,job_id,row,"request_id",index\r\n'
        b"0,21.5,,,a,\r\n\r\n1,3e1,,,b:1,4.0\r\n2,-1.25,%b,17,,NA\r\n" % JOB.encode()
    )
    assert read(lines, Format.LINES) == read(table, Format.CSV) == ITEMS


@pytest.mark.parametrize(
    ("item", "errors"),
    [
        ({"actual": 1}, [("", "missing")]),
        ({"request_id": None, "actual": 1}, [("", "missing")]),
        ({"request_id": "a", "job_id": JOB, "actual": 1}, [("", "ambiguous")]),
        ({"request_id": "a"}, [("/actual", "missing")]),
        ({"request_id": "a", "actual": None}, [("/actual", "missing")]),
        ({"request_id": "a", "actual": "21.5"}, [("/actual", "wrong_type")]),
        ({"request_id": "a", "actual": True}, [("/actual", "wrong_type")]),
        ({"request_id": "a", "actual": [1]}, [("/actual", "wrong_type")]),
        ({"request_id": "a", "actual": 1e31}, [("/actual", "not_finite")]),
        ({"request_id": "a", "actual": float("nan")}, [("/actual", "not_finite")]),
        ({"request_id": 7, "actual": 1}, [("/request_id", "wrong_type")]),
        ({"request_id": "no id", "actual": 1}, [("/request_id", "malformed")]),
        ({"request_id": "\ud800", "actual": 1}, [("/request_id", "malformed")]),
        ({"request_id": "a" * 129, "actual": 1}, [("/request_id", "malformed")]),
        ({"request_id": "a", "index": -1, "actual": 1}, [("/index", "wrong_type")]),
        ({"request_id": "a", "index": 1.5, "actual": 1}, [("/index", "wrong_type")]),
        ({"request_id": "a", "index": True, "actual": 1}, [("/index", "wrong_type")]),
        ({"request_id": "a", "index": 2**53, "actual": 1}, [("/index", "wrong_type")]),
        ({"request_id": "a", "row": 1, "actual": 1}, [("/row", "unknown_field")]),
        ({"job_id": JOB, "actual": 1}, [("/row", "missing")]),
        ({"job_id": JOB, "index": 1, "actual": 1}, [("/index", "unknown_field"), ("/row", "missing")]),
        ({"job_id": JOB.upper(), "row": 1, "actual": 1}, [("/job_id", "malformed")]),
        ({"job_id": "0" * 400, "row": 1, "actual": 1}, [("/job_id", "malformed")]),
        ({"job_id": 1, "row": 1, "actual": 1}, [("/job_id", "wrong_type")]),
        ({"request_id": "a", "actual": 1, "when/ever": 2}, [("/when~1ever", "unknown_field")]),
        ({"request_id": "", "actual": "x"}, [("/request_id", "malformed"), ("/actual", "wrong_type")]),
        ("text", [("", "wrong_type")]),
        (None, [("", "wrong_type")]),
    ],
)
def test_what_is_wrong_with_a_value_is_named(item: object, errors: list[tuple[str, str]]) -> None:
    good = {"request_id": "good", "actual": 0}
    assert wrong(good, item) == [("/feedback/1" + pointer, code) for pointer, code in errors]


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("x", "not_a_number"),
        ("1_000", "not_a_number"),
        ("nan", "not_finite"),
        ("-inf", "not_finite"),
        (" ", "missing"),
    ],
)
def test_numbers_are_text_in_csv_only(cell: str, code: str) -> None:
    problem = refused(f"request_id,actual\n\na,1\nb,{cell}\n".encode(), Format.CSV)
    (error,) = problem.errors
    assert (problem.slug, error.pointer, error.code) == ("invalid-feedback", "/feedback/1/actual", code)
    assert error.detail.startswith("line 4: ")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    problem = refused(b'{"request_id": "a"}\n{"request_id": "b", "actual": 1}\n\n{"job_id": "x"}', Format.LINES)
    assert problem.detail == "2 of 3 values cannot be taken, so none was"
    assert [(error.pointer, error.detail.partition(":")[0]) for error in problem.errors] == [
        ("/feedback/0/actual", "line 1"),
        ("/feedback/2/job_id", "line 4"),
        ("/feedback/2/row", "line 4"),
        ("/feedback/2/actual", "line 4"),
    ]


def test_what_is_wrong_with_many_values_is_bounded() -> None:
    problem = refused(document(*[{}] * 3000), limit=5000)
    assert len(problem.errors) == 1000
    assert "3,000 of 3,000 values" in problem.detail


def test_the_same_said_twice_counts_once_and_a_contradiction_is_refused() -> None:
    said = [{"request_id": "a", "actual": 1}, {"request_id": "a", "index": 0, "actual": 1.0}]
    assert read(document(*said)) == [Item("a", None, 0, 1.0)]
    other = {"request_id": "a", "actual": 2}
    assert wrong(*said, other, other) == [(f"/feedback/{i}/actual", "contradiction") for i in (2, 3)]
    assert "/feedback/0 says 1.0" in refused(document(*said, other)).errors[0].detail


def test_one_name_for_a_request_and_a_job_is_two_rows() -> None:
    items = [{"request_id": JOB, "index": 1, "actual": 1}, {"job_id": JOB, "row": 1, "actual": 2}]
    assert len(read(document(*items))) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]", "invalid-body [('', 'wrong_type')]"),
        (b"{}", "invalid-body [('/feedback', 'missing')]"),
        (b'{"feedback": 1}', "invalid-body [('/feedback', 'wrong_type')]"),
        (b'{"feedback": [], "x": 1}', "invalid-body [('/x', 'unknown_field')]"),
        (b'{"instances": []}', "invalid-body [('/feedback', 'missing'), ('/instances', 'unknown_field')]"),
        (b'{"feedback": []}', "empty-table [('/feedback', 'missing')]"),
        (b"", "malformed-body []"),
        (b'{"feedback": [{"request_id": "a", "actual": 1}', "malformed-body []"),
        (b'{"feedback": [{"request_id": "a", "actual": NaN, "actual": 1}]}', "malformed-body []"),
        (
            b'{"feedback": [{"request_id": "a", "actual": NaN}]}',
            "invalid-feedback [('/feedback/0/actual', 'not_finite')]",
        ),
    ],
)
def test_a_document_of_another_shape_is_refused(body: bytes, expected: str) -> None:
    problem = refused(body)
    assert f"{problem.slug} {[(error.pointer, error.code) for error in problem.errors]}" == expected


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        (Format.LINES, b'{"request_id": "a", "actual": 1}\n\n{"request_id"}\n', "line 3, column 14: not JSON: "),
        (Format.LINES, b'{"request_id": "a", "actual": 1}\n"\xff"', "line 2, column 2: not JSON: this is not UTF-8"),
        (Format.CSV, b"request_id,actual\na,1\n\nb\n", "line 4: expected 2 fields, found 1"),
        (Format.CSV, b"request_id,actual\na,1\nb,\xff\n", "line 3: this is not UTF-8"),
        (Format.CSV, b'request_id,actual\na,1\n"b,2\nc,3\n', "line 3: not CSV: "),
        (Format.CSV, b"actual,actual\n", "line 1: column 'actual' occurs more than once"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(kind: Format, body: bytes, says: str) -> None:
    problem = refused(body, kind)
    assert problem.slug == "malformed-body"
    assert problem.detail.startswith(says)


def test_columns_are_checked_by_their_names() -> None:
    problem = refused(b"request_id,idx,value\na,1,2\n", Format.CSV)
    assert [(e.pointer, e.code) for e in problem.errors] == [
        ("/idx", "unknown_field"),
        ("/value", "unknown_field"),
        ("/actual", "missing"),
    ]
    assert "separated by commas" in refused(b"request_id;actual\na;1\n", Format.CSV).detail


@pytest.mark.parametrize("kind", [Format.LINES, Format.CSV])
@pytest.mark.parametrize("body", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_table_without_rows_is_refused(kind: Format, body: bytes) -> None:
    assert refused(body, kind).slug == "empty-table"


def test_more_values_than_are_taken_at_once_are_refused() -> None:
    items = [{"request_id": f"a-{i}", "actual": i} for i in range(4)]
    table = "request_id,actual\n" + "".join(f"{item['request_id']},1\n" for item in items)
    for body, kind in (
        (document(*items), Format.JSON),
        ("\n".join(map(json.dumps, items)).encode(), Format.LINES),
        (table.encode(), Format.CSV),
    ):
        assert len(read(body, kind, limit=4)) == 4
        assert refused(body, kind, limit=3).slug == "too-many-rows"


@given(st.binary(max_size=80), st.sampled_from([Format.JSON, Format.LINES, Format.CSV]))
def test_whatever_is_sent_is_read_or_refused(body: bytes, kind: Format) -> None:
    for beginning in (b"", b"request_id,actual\n", b'{"feedback": ['):
        with suppress(Problem):
            read(beginning + body, kind)


def test_many_values_are_several_events() -> None:
    items = [Item(None, JOB, row, row / 2) for row in range(2 * FEEDBACK_ROWS + 1)]
    events = list(events_of([ITEMS[0], *items], "model", "r-1"))
    assert [len(event.actual) for event in events] == [FEEDBACK_ROWS, FEEDBACK_ROWS, 2]
    assert len({event.event_id for event in events}) == 3
    assert {(event.model_name, event.brought_by, event.occurred_at) for event in events} == {
        ("model", "r-1", events[0].occurred_at)
    }
    rows = [row for e in events for row in zip(e.request_id, e.job_id, e.index, e.actual, strict=True)]
    assert rows == [ITEMS[0], *items]
