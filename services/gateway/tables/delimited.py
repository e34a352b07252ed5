"""CSV: comma-separated, UTF-8, a header line, quoted as RFC 4180 says; line ends of any kind."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from services.gateway.tables.ahead import ahead
from services.gateway.tables.block import Block, EmptyTable, NotATable, nothing
from services.gateway.tables.carried import of_texts, spread
from services.gateway.tables.columns import ColumnEncoder
from services.gateway.tables.header import check_names
from services.gateway.tables.lines import BOM, RECORD_BYTES, blocks, check_closed, end_of_records
from services.gateway.tables.plain import PlainRows, plain_reader
from shared.signature import FieldError, InvalidRow, RowEncoder, Signature


class CsvTable:
    """Args:
    by_rows: use the csv module and the row encoder for everything: slow, and what the fast way must agree with.
    """

    def __init__(
        self, file: BinaryIO, signature: Signature, passthrough: Sequence[str] = (), *, by_rows: bool = False
    ) -> None:
        self._features = frozenset(signature.names)
        self._passthrough = passthrough
        self._by_rows = by_rows
        self._columns = ColumnEncoder(signature, text=True)
        self._row = RowEncoder(signature, text=True, ignore_extra=True)
        parts = blocks(file, end_of_records, check_closed)
        first = next(parts, b"")
        self.rows = _about(file, first)
        self._names, start = _header(first)
        self.ignored_columns = check_names(self._names, signature, passthrough, line=1)
        self._parts = chain([first[start:]], parts)
        self._plain = None if by_rows or passthrough else plain_reader(self._names, signature)

    def blocks(self) -> Iterator[Block]:
        return ahead(self._block, (part for part in self._parts if part.strip(b"\r\n")))

    def _block(self, part: bytes) -> Block:
        if self._plain and b'"' not in part and (found := self._plain.read(part)):
            return self._completed(found, part)
        # Arrow takes a byte order mark away wherever a block begins.
        if self._by_rows or part.startswith(BOM) or not _is_utf8(part):
            return self._by_row(part)
        try:
            return self._by_columns(part)
        except pa.ArrowInvalid:  # it does not split as we do: let that cost only the rows where it is
            return self._by_row(part)

    def _completed(self, found: PlainRows, part: bytes) -> Block:
        """Judge the records that were left out."""
        if not found.odd:
            return Block(found.x, ())
        rows = [row for row, _, _ in found.odd]
        judged = self._by_row(b"\n".join(part[start:end] for _, start, end in found.odd))
        found.x[rows] = judged.x
        return Block(found.x, [(rows[row], error) for row, error in judged.errors])

    def _by_columns(self, part: bytes) -> Block:
        malformed: list[tuple[int, FieldError]] = []

        def skip(row: Any) -> str:
            # `number` counts from 1 and leaves out blank lines, as the records of the csv module do.
            malformed.append((row.number - 1, _wrong_count(row.expected_columns, row.actual_columns)))
            return "skip"

        known = self._features | frozenset(self._passthrough)
        places = {str(i): name for i, name in enumerate(self._names) if name in known}
        table = pacsv.read_csv(
            pa.BufferReader(part),
            pacsv.ReadOptions(
                use_threads=False, block_size=len(part) + 1, column_names=[str(i) for i in range(len(self._names))]
            ),
            pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
            pacsv.ConvertOptions(
                include_columns=list(places), column_types=dict.fromkeys(places, pa.string()), strings_can_be_null=False
            ),
        )
        batch = pa.record_batch([table.column(place).combine_chunks() for place in places], names=list(places.values()))
        block = self._columns.encode(batch.select([name for name in batch.schema.names if name in self._features]))
        carried = of_texts(self._passthrough, [batch.column(name) for name in self._passthrough])
        return _interleaved(replace(block, carried=carried), malformed)

    def _by_row(self, part: bytes) -> Block:
        csv.field_size_limit(RECORD_BYTES * 2)
        text = io.StringIO(part.decode("utf-8", "surrogateescape"), newline="")
        records = [record for record in csv.reader(text) if record]
        x = nothing(len(records), len(self._row.signature.features))
        errors: list[tuple[int, FieldError]] = []
        for index, record in enumerate(records):
            try:
                x[index] = self._row.encode(self._checked(record))
            except InvalidRow as invalid:
                errors.append((index, invalid.errors[0]))
        return Block(x, errors, self._carried(records))

    def _carried(self, records: Sequence[Sequence[str]]) -> Any:
        places = [self._names.index(name) for name in self._passthrough]
        whole = len(self._names)
        columns = [[_text(r[place]) if len(r) == whole else None for r in records] for place in places]
        return of_texts(self._passthrough, columns)

    def _checked(self, record: Sequence[str]) -> dict[str, str]:
        if len(record) != len(self._names):
            raise InvalidRow([_wrong_count(len(self._names), len(record))])
        row = dict(zip(self._names, record, strict=True))
        for name in self._row.signature.names:
            if _has_surrogates(row.get(name, "")):
                raise InvalidRow([FieldError(name, "malformed", "is not UTF-8")])
        return row


def _about(file: BinaryIO, first: bytes) -> int | None:
    """Guess how many rows follow from a first piece of the file."""
    here, size = file.tell(), file.seek(0, os.SEEK_END)
    file.seek(here)
    return max(first.count(b"\n"), first.count(b"\r")) * size // len(first) if first else None


def _header(data: bytes) -> tuple[list[str], int]:
    """Return the column names and where the rows begin. Raises NotATable, EmptyTable."""
    if not data.strip(b"\r\n"):
        raise EmptyTable
    lines = io.StringIO(data.decode("utf-8", "surrogateescape"), newline="")
    csv.field_size_limit(RECORD_BYTES * 2)
    reader = csv.reader(lines)
    names = next(record for record in reader if record)
    head = "".join(islice(io.StringIO(lines.getvalue(), newline=""), reader.line_num))
    for column, character in enumerate(head, 1):
        if character == "\0" or _has_surrogates(character):
            raise NotATable("this is no CSV text in UTF-8", 1, column)
    return names, len(head.encode())


def _wrong_count(expected: int, found: int) -> FieldError:
    return FieldError("", "malformed", f"expected {expected} fields, found {found}")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _text(cell: str) -> str:
    """Return a cell with a mark in place of each byte that is not UTF-8."""
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if _has_surrogates(cell) else cell


def _interleaved(block: Block, malformed: Sequence[tuple[int, FieldError]]) -> Block:
    """Put malformed records back to where they were."""
    if not malformed:
        return block
    rows = np.ones(len(block.x) + len(malformed), bool)
    rows[[row for row, _ in malformed]] = False
    x = nothing(len(rows), block.x.shape[1])
    x[rows] = block.x
    places = np.flatnonzero(rows)
    errors = [(int(places[row]), error) for row, error in block.errors]
    return Block(x, sorted([*errors, *malformed], key=lambda error: error[0]), spread(block.carried, rows))
