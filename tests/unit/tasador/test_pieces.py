"""Feedback in pieces: nothing gets lost between them, and places in a piece are told as places in the whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasador.client import Invalid
from tasador.client.errors import ProblemItem
from tasador.client.pieces import BYTES, ROWS, Line, Piece, lines_of_blocks, lines_of_rows, pieces


def a_problem(detail: str, *errors: tuple[str, str]) -> Invalid:
    items = [ProblemItem(pointer=pointer, code="wrong", detail=told) for pointer, told in errors]
    return Invalid(422, "/problems/invalid-feedback", "", detail, None, items)


def told(problem: object) -> list[tuple[str, str]]:
    assert isinstance(problem, Invalid)
    return [("", problem.detail), *((item.pointer, item.detail) for item in problem.errors)]


@given(st.lists(st.binary(max_size=20)))
def test_lines_are_those_of_the_file_however_it_is_read(blocks: list[bytes]) -> None:
    expected = [(n, text) for n, text in enumerate(b"".join(blocks).split(b"\n"), 1) if text.strip()]
    assert [(line.number, line.text) for line in lines_of_blocks(blocks)] == expected


@pytest.mark.parametrize(("rows", "width"), [(0, 1), (1, 1), (ROWS, 1), (ROWS + 1, 1), (50, BYTES // 10)])
def test_pieces_are_as_large_as_a_gateway_takes_and_hold_everything(rows: int, width: int) -> None:
    lines = [Line(b"x" * width, number) for number in range(2, rows + 2)]
    header = Line(b"request_id,actual", 1)
    found = list(pieces(iter([header, *lines]), header=True))
    assert [line for piece in found for line in piece.values] == lines
    assert found[0].first == 0
    assert all(after.first == before.first + len(before.values) for before, after in pairwise(found))
    assert all(len(piece.values) <= ROWS and len(piece.body) <= BYTES + 100 for piece in found)
    assert all(piece.body.startswith(b"request_id,actual") for piece in found)


def test_a_file_without_values_is_sent_all_the_same() -> None:
    assert [piece.body for piece in pieces(lines_of_blocks([b"\na,b\n"]), header=True)] == [b"a,b"]
    assert [piece.body for piece in pieces(lines_of_blocks([]), header=True)] == [b""]
    assert [piece.body for piece in pieces(lines_of_rows([]), header=False)] == [b""]


def test_halves_are_the_whole() -> None:
    piece = Piece(10, Line(b"h", 1), [Line(b"%d" % n, n) for n in range(5)])
    first, second = piece.halves()
    assert ([*first.values, *second.values], first.first, second.first) == (piece.values, 10, 12)
    assert (first.body, second.body) == (b"h\n0\n1", b"h\n2\n3\n4")


def test_places_in_a_piece_of_a_file_are_places_in_the_file() -> None:
    piece = Piece(10, Line(b"h", 2), [Line(b"a", 15), Line(b"b", 17)])
    problem = a_problem(
        "line 3, column 2: not CSV",
        ("/feedback/1/actual", "line 3: 1.0, where /feedback/0 says 2.0 of the same row"),
        ("/other", "line 1: header"),
        ("/feedback/0", "line 9: more than there are"),
    )
    assert told(piece.located(problem)) == [
        ("", "line 17, column 2: not CSV"),
        ("/feedback/11/actual", "line 17: 1.0, where /feedback/10 says 2.0 of the same row"),
        ("/other", "line 2: header"),
        ("/feedback/10", "line 9: more than there are"),
    ]


def test_rows_that_come_from_no_file_have_no_lines() -> None:
    (piece,) = pieces(lines_of_rows([{"request_id": "a", "actual": 1}, {"request_id": "b"}]), header=False)
    located = piece.located(a_problem("1 of 2 values", ("/feedback/1/actual", "line 2: is required")))
    assert told(located) == [("", "1 of 2 values"), ("/feedback/1/actual", "is required")]
