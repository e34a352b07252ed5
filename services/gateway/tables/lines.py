"""Cutting a text file into blocks of whole records, with bounded memory."""

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from services.gateway.tables.block import NotATable

BLOCK_BYTES = 1 << 18  # larger ones hold the interpreter for longer at a time, and are no faster
RECORD_BYTES = 1 << 24  # one record longer than this is a mistake, such as a quote that is never closed

BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")

# A quoted field: a quote at the start of a field, up to the one that closes it, or to the end of the data. Quotes
# elsewhere are ordinary characters, as they are to Arrow and to the csv module.
_QUOTED = re.compile(rb'(?<![^,\r\n])"[^"]*(?:""[^"]*)*(?:"|\Z)')

FindEnd = Callable[[bytes], int]
"""Returns how many bytes of the data are whole records; 0 if the first one is not complete."""
CheckRest = Callable[[bytes, Callable[[], int]], None]


def end_of_lines(data: bytes) -> int:
    """Find the end of the last complete line."""
    return data.rfind(b"\n") + 1


def end_of_records(data: bytes) -> int:
    """Find the end of the last complete CSV record, whose quoted fields may hold line breaks.

    Lines that end in a lone carriage return count only where there is no line feed at all.
    """
    if b'"' not in data:
        return data.rfind(b"\n") + 1 or data.rfind(b"\r") + 1
    spans = [m.span() for m in _QUOTED.finditer(data) if _breaks(m.group())]
    return _last_outside(data, b"\n", spans) or _last_outside(data, b"\r", spans)


def check_closed(rest: bytes, line: Callable[[], int]) -> None:
    """Check that no quoted field is open at the end of a text. Raises NotATable with the place where it begins."""
    for quoted in _QUOTED.finditer(rest):
        if quoted.group().count(b'"') % 2:  # can only be the last one
            start = quoted.start()
            column = start - rest.rfind(b"\n", 0, start)
            raise NotATable("a quote is opened here and never closed", line() + rest.count(b"\n", 0, start), column)


def _breaks(quoted: bytes) -> bool:
    return b"\n" in quoted or b"\r" in quoted or quoted.count(b'"') % 2 == 1


def _last_outside(data: bytes, line_break: bytes, spans: list[tuple[int, int]]) -> int:
    end = len(data)
    for start, stop in reversed([(-1, -1), *spans]):
        cut = data.rfind(line_break, max(stop, 0), end)
        if cut >= 0:
            return cut + 1
        end = max(start, 0)
    return 0


def blocks(
    file: BinaryIO, find_end: FindEnd, check_rest: CheckRest = lambda rest, line: None, size: int = BLOCK_BYTES
) -> Iterator[bytes]:
    """Yield the file in blocks of whole records, without a byte order mark; the last one may lack its line break.

    Args:
        check_rest: is given what follows the last complete record, and asked with it for the line where it begins.

    Raises:
        NotATable: it is UTF-16, or a record is longer than RECORD_BYTES.
    """
    rest = file.read(size)
    read = len(rest)
    if rest.startswith(_UTF16):
        raise NotATable("the text is UTF-16; send UTF-8", 1, 1)
    rest = rest.removeprefix(BOM)
    while rest:
        end = find_end(rest)
        if end:
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > RECORD_BYTES:
            line = _line_at(file, read - len(rest))
            raise NotATable(f"a record is longer than {RECORD_BYTES >> 20} MB; is a quote never closed?", line)
        more = file.read(max(size, len(rest)))  # doubled, so that a long record is not gone through too often
        if not more:
            break
        read += len(more)
        rest += more
    if rest:
        check_rest(rest, lambda: _line_at(file, read - len(rest)))
        yield rest


def _line_at(file: BinaryIO, position: int) -> int:
    """Return the line of a place in the file. It is read again for that: lines are counted for those who ask."""
    file.seek(0)
    line = 1
    while position > 0 and (piece := file.read(min(BLOCK_BYTES, position))):
        line += piece.count(b"\n")
        position -= len(piece)
    return line
