import gzip
import io
import json
from pathlib import PurePath

import httpx
import pytest

from tasador.cli.piped import UnknownPipe, guess, recognise
from tasador.client import Gone, Invalid, Problem, TimedOut, Unavailable, UnknownFormat
from tasador.client.answers import Operation
from tasador.client.errors import problem_of
from tasador.client.formats import media_type, result_type
from tasador.client.waiting import wait_for_end


def an_operation(state: str) -> Operation:
    return Operation.model_validate({"id": "1", "kind": "reload", "state": state, "created_at": "2026-01-01T00:00:00Z"})


def unavailable() -> Unavailable:
    problem = problem_of(httpx.Response(503, headers={"retry-after": "5"}))
    assert isinstance(problem, Unavailable)
    return problem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.b.CSV", "text/csv"),
        ("x.csv.gz", "text/csv"),
        ("x.jsonl", "application/x-ndjson"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
def test_the_format_is_known_by_its_suffix_or_its_name(name: str, expected: str) -> None:
    assert media_type(name) == expected


def test_an_unknown_suffix_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UnknownFormat, match=r"rows\.xlsx.*\.csv"):
        media_type(PurePath("rows.xlsx"))
    with pytest.raises(UnknownFormat, match=r"no format xml.*csv"):
        media_type("xml")


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        (b"PAR1\x15", "application/vnd.apache.parquet"),
        (b"\xff\xff\xff\xff\x10", "application/vnd.apache.arrow.stream"),
        (b"ARROW1\0\0\xff\xff", "application/vnd.apache.arrow.file"),
        (b'{"a": 1}\n{"a": 2}', "application/x-ndjson"),
        (b'{"instances": [', "application/json"),
        (b" [{", "application/json"),
        (b"a,b\n1,2", "text/csv"),
        (b"", "text/csv"),
    ],
)
def test_the_first_bytes_tell_the_format_of_a_pipe(beginning: bytes, expected: str) -> None:
    assert guess(beginning) == expected


@pytest.mark.parametrize("rows", [b"a,b\n1,2\n", b"a,b\n" + b"1,2\n" * 10_000, b""])
def test_a_compressed_pipe_is_recognised_and_sent_as_it_came(rows: bytes) -> None:
    for data, coding in ((rows, None), (gzip.compress(rows), "gzip")):
        piped = recognise(io.BytesIO(data), None)
        assert (piped.content_type, piped.content_encoding) == ("text/csv", coding)
        sent = b""
        while block := piped.file.read(100):
            sent += block
        assert sent == data
    lines = recognise(io.BytesIO(gzip.compress(b'{"a": 1}\n' * 9)), None)
    assert (lines.content_type, lines.content_encoding) == ("application/x-ndjson", "gzip")


def test_what_a_compression_hides_has_to_be_named() -> None:
    zstd = b"\x28\xb5\x2f\xfd\x00"
    with pytest.raises(UnknownPipe, match="--type"):
        recognise(io.BytesIO(zstd), None)
    assert recognise(io.BytesIO(zstd), "text/csv").content_encoding == "zstd"


def test_a_single_thing_that_is_wrong_is_said_once() -> None:
    detail = "there is no dead letter 'x:1'"
    document = {
        "type": "/problems/dead-letter-not-found",
        "title": "There is no such dead letter",
        "detail": detail,
        "errors": [{"pointer": "/ids/0", "code": "not_found", "detail": detail}],
    }
    assert str(problem_of(httpx.Response(404, content=json.dumps(document)))) == detail


def test_a_problem_keeps_what_the_gateway_said() -> None:
    document = {
        "type": "/problems/invalid-row",
        "title": "The row does not fit the model",
        "status": 422,
        "detail": "2 fields",
        "request_id": "r1",
        "errors": [{"pointer": "/area", "code": "missing", "detail": "is required"}],
    }
    problem = problem_of(httpx.Response(422, content=json.dumps(document)))
    assert isinstance(problem, Invalid)
    assert (problem.status, problem.slug, problem.request_id) == (422, "invalid-row", "r1")
    assert str(problem) == "The row does not fit the model: 2 fields\n  /area: is required"


def test_a_page_of_a_proxy_is_a_problem_too() -> None:
    problem = problem_of(httpx.Response(502, text="<html>bad gateway"))
    assert isinstance(problem, Unavailable)
    assert "<html>" in str(problem)
    assert isinstance(problem_of(httpx.Response(410)), Gone)
    assert type(problem_of(httpx.Response(418, text="tea"))) is Problem


def test_waiting_reports_progress_and_bears_an_outage() -> None:
    answers: list[Operation | Unavailable] = [
        an_operation("queued"),
        unavailable(),
        unavailable(),
        an_operation("succeeded"),
    ]
    seen: list[str] = []
    outages: list[Exception] = []

    def ask(_: float) -> Operation:
        answer = answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    ended = wait_for_end(ask, None, lambda now: seen.append(now.state), poll=0.01, on_outage=outages.append)
    assert ended.state == "succeeded"
    assert len(outages) == 1
    assert seen == ["queued", "succeeded"]


def test_waiting_ends_when_the_time_is_over() -> None:
    with pytest.raises(TimedOut, match="goes on"):
        wait_for_end(lambda _: an_operation("running"), 0.0, None)


def test_waiting_asks_at_least_once_and_takes_an_end_after_the_time() -> None:
    assert wait_for_end(lambda _: an_operation("failed"), 0.0, None).state == "failed"


def test_results_are_not_written_under_the_name_of_a_compressed_file() -> None:
    with pytest.raises(UnknownFormat, match=r"leave \.gz off"):
        result_type(PurePath("out/scored.csv.gz"))
    assert result_type(PurePath("out/scored.csv")) == "text/csv"


def test_columns_that_the_detail_names_are_not_listed_again() -> None:
    errors = [{"pointer": f"/{name}", "code": "missing", "detail": "is required"} for name in ("area", "zone")]
    document = {"title": "A column is missing", "detail": "the table has no column 'area'", "errors": errors}
    said = str(problem_of(httpx.Response(422, content=json.dumps(document)))).splitlines()
    assert said == ["A column is missing: the table has no column 'area'", "  /zone: is required"]
