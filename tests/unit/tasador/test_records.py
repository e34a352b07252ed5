"""Cutting a text into whole records: nothing doubled, lost or halved, wherever it is cut."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasador.client.jobs import _quoted
from tasador.client.options import job_options
from tasador.client.records import CsvRecords, LineRecords, Records

TEXTS = st.lists(st.text(alphabet='a",\n\r é', max_size=6), max_size=6)


def as_lines(texts: list[str], first: int) -> bytes:
    return "".join(json.dumps({"index": first + i, "text": text}) + "\n" for i, text in enumerate(texts)).encode()


def as_csv(texts: list[str], first: int) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([i + first, text] for i, text in enumerate(texts))
    return out.getvalue().encode()


def fed(records: Records, data: bytes, pieces: list[int]) -> bytes:
    """Feed the data in pieces of these sizes, over and over."""
    found, start = b"", 0
    while start < len(data):
        size = pieces[start % len(pieces)] if pieces else len(data)
        found += records.feed(data[start : start + size])
        start += size
    return found


@given(TEXTS, st.integers(0, 5), st.lists(st.integers(1, 9), max_size=4), st.floats(0, 1))
def test_lines_go_on_where_they_were_cut(texts: list[str], first: int, pieces: list[int], cut: float) -> None:
    data = as_lines(texts, first)
    records = LineRecords(first)
    begun = fed(records, data[: round(cut * len(data))], pieces)
    assert begun + as_lines(texts[records.next - first :], records.next) == data


@given(TEXTS, st.integers(0, 5), st.lists(st.integers(1, 9), max_size=4), st.floats(0, 1))
def test_csv_goes_on_where_it_was_cut(texts: list[str], first: int, pieces: list[int], cut: float) -> None:
    header = b'index,"te\nxt"\n'
    data = header + as_csv(texts, first)
    records = CsvRecords(first, header=True)
    begun = fed(records, data[: round(cut * len(data))], pieces)
    rest = data if not begun else as_csv(texts[records.next - first :], records.next)
    assert begun + rest == data
    again = CsvRecords(records.next, header=False)
    if begun:
        assert fed(again, rest, pieces) == rest
        assert again.next == first + len(texts)


def test_options_say_what_they_mean() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert job_options(None, None, None, (), None) == {}
    assert job_options("7", "high", at, ["id", "a,b"], "https://example.org/x?y=1") == {
        "version": "7",
        "priority": "high",
        "deadline": "2030-01-01T00:00:00+00:00",
        "passthrough": 'id,"a,b"',
        "webhook": "https://example.org/x?y=1",
    }
    assert job_options(None, None, timedelta(minutes=2), "id,name", None)["deadline"] == "120.000s"
    assert job_options(None, None, "2h", (), None)["deadline"] == "2h"


def test_a_key_may_hold_quotes() -> None:
    assert _quoted(r'a "b" \c') == r'"a \"b\" \\c"'


def test_a_deadline_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        job_options(None, None, datetime(2030, 1, 1), (), None)
