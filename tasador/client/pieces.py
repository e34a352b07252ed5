"""Values for `/feedback` in pieces that a gateway takes at once, and its words on a piece as words on the whole. Pure.

They are sent as lines, whatever they come from: a line can be cut off, and named.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasador.client.base import encode
from tasador.client.errors import Problem

ROWS = 10_000
BYTES = 2_000_000
"""What a gateway takes at once, unless it is told otherwise: of one that takes less the pieces are halved."""
_PLACE = re.compile(r"(/feedback/)(\d+)")
_LINE = re.compile(r"^line (\d+)(: )?")


@dataclass(frozen=True)
class Line:
    text: bytes
    number: int | None
    """In the file, from 1; None for values that come from none."""


@dataclass(frozen=True)
class Piece:
    """Values that follow each other.

    Args:
        first: values before.
        header: the first line, where each piece needs it.
    """

    first: int
    header: Line | None
    values: Sequence[Line]

    @property
    def body(self) -> bytes:
        return b"\n".join(line.text for line in self._lines)

    def halves(self) -> tuple["Piece", "Piece"]:
        half = len(self.values) // 2
        behind = replace(self, first=self.first + half, values=self.values[half:])
        return replace(self, values=self.values[:half]), behind

    def located(self, problem: Problem) -> Problem:
        """Return what is wrong with the piece, with places in the whole."""
        errors = [
            error.model_copy(update={"pointer": self._moved(error.pointer), "detail": self._told(error.detail)})
            for error in problem.errors
        ]
        return replace(problem, detail=self._told(problem.detail), errors=errors)

    @property
    def _lines(self) -> list[Line]:
        return [*([self.header] if self.header else []), *self.values]

    def _told(self, detail: str) -> str:
        return self._moved(_LINE.sub(self._line, detail))

    def _line(self, said: re.Match[str]) -> str:
        lines, place = self._lines, int(said[1]) - 1
        if place >= len(lines):  # there are line breaks of another kind within a line
            return said[0]
        number = lines[place].number
        return "" if number is None else f"line {number}{said[2] or ''}"

    def _moved(self, text: str) -> str:
        return _PLACE.sub(lambda place: f"{place[1]}{self.first + int(place[2])}", text)


def lines_of_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Line]:
    return (Line(encode(dict(row)), None) for row in rows)


def lines_of_blocks(blocks: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines of a file that are not blank."""
    rest, number = b"", 0
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        for text in whole:
            number += 1
            if text.strip():
                yield Line(text, number)
    if rest.strip():
        yield Line(rest, number + 1)


def pieces(lines: Iterator[Line], *, header: bool) -> Iterator[Piece]:
    """Cut the lines; there is a piece in any case, because it is for the gateway to say that there are no values.

    Args:
        header: the first of them is one.
    """
    head = next(lines, None) if header else None
    first, size = 0, 0
    values: list[Line] = []
    for line in lines:
        if len(values) == ROWS or (values and size + len(line.text) > BYTES):
            yield Piece(first, head, values)
            first, size, values = first + len(values), 0, []
        values.append(line)
        size += len(line.text) + 1
    if values or not first:
        yield Piece(first, head, values)
