"""From a body to the values in it, all of them or none. Runs in a thread: ten thousand take some 50 ms."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.gateway.bodies import decode_json
from services.gateway.feedback.items import FIELDS, InvalidItem, Item, ItemReader
from services.gateway.problems import ErrorItem, Problem, pointer
from services.gateway.tables.block import NotATable
from services.gateway.tables.formats import Format
from services.gateway.tables.json_text import parse
from services.gateway.tables.lines import BOM

MEMBER = "feedback"
SHAPE = 'expected {"feedback": [{"request_id", "index"?, "actual"} or {"job_id", "row", "actual"}, …]}'
MAX_ERRORS = 1000
"""Listed in one answer."""


@dataclass(frozen=True)
class Placed:
    """What should be an item."""

    value: object
    line: int | None = None
    """Of the body, where that has lines."""


def items_in(body: bytes, kind: Format, limit: int) -> Sequence[Item]:
    """Return the items; those that say the same of one row are one.

    Args:
        kind: JSON, LINES or CSV.

    Raises:
        Problem: there are none or more than `limit`, or something is wrong with any of them.
    """
    if kind is Format.JSON:
        return _of_document(body, limit)
    placed = _lines(body) if kind is Format.LINES else _records(body)
    return _read(placed, limit, ItemReader(text=kind is Format.CSV))


def _of_document(body: bytes, limit: int) -> Sequence[Item]:
    value, complaint = decode_json(body)
    items = value.get(MEMBER) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(items, list) or len(value) > 1:
        raise Problem("invalid-body", SHAPE, errors=_wrong_members(value))
    found = _read(map(Placed, items), limit, ItemReader(text=False))
    if complaint:
        raise Problem("malformed-body", complaint)
    return found


def _wrong_members(value: object) -> list[ErrorItem]:
    if not isinstance(value, dict):
        return [ErrorItem("", "wrong_type", SHAPE)]
    others = [
        ErrorItem(pointer(name), "unknown_field", "is no member of this body") for name in value if name != MEMBER
    ]
    if MEMBER in value and isinstance(value[MEMBER], list):
        return others[:MAX_ERRORS]
    code, detail = ("wrong_type", "expected an array") if MEMBER in value else ("missing", "is required: an array")
    return [ErrorItem(pointer(MEMBER), code, detail), *others][:MAX_ERRORS]


def _lines(body: bytes) -> Iterator[Placed]:
    for number, line in enumerate(body.removeprefix(BOM).split(b"\n"), 1):
        if line.strip():
            try:
                yield Placed(parse(line), number)
            except NotATable as unreadable:
                detail = str(unreadable).split(": ", 1)[-1]
                where = f"line {number}, column {unreadable.column}"
                raise Problem("malformed-body", f"{where}: not JSON: {detail}") from None


def _records(body: bytes) -> Iterator[Placed]:
    text = io.StringIO(_decoded(body.removeprefix(BOM)), newline="")
    records = csv.reader(text, strict=True)
    names: list[str] | None = None
    before = 0  # lines of the records so far
    while True:
        try:
            record = next(records, None)
        except csv.Error as error:
            raise Problem("malformed-body", f"line {before + 1}: not CSV: {error}") from None
        if record is None:
            return
        line, before = before + 1, records.line_num
        if not record:
            continue
        if names is None:
            names = _checked(record)
        elif len(record) != len(names):
            detail = f"expected {len(names)} fields, found {len(record)}"
            raise Problem("malformed-body", f"line {line}: {detail}")
        else:  # a column without a name is left behind by spreadsheets and data frames
            yield Placed({name: cell for name, cell in zip(names, record, strict=True) if name}, line)


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise Problem("malformed-body", f"line {line}: this is not UTF-8") from None


def _checked(names: list[str]) -> list[str]:
    """Return the names of the columns. Raises Problem."""
    twice = [name for name in FIELDS if names.count(name) > 1]
    if twice:
        raise Problem("malformed-body", f"line 1: column {twice[0]!r} occurs more than once")
    errors = [
        ErrorItem(pointer(name), "unknown_field", f"is none of {', '.join(FIELDS)}")
        for name in names
        if name and name not in FIELDS
    ]
    if "actual" not in names:
        errors.append(ErrorItem("/actual", "missing", "there is no such column"))
    if errors:
        hint = "; columns are separated by commas" if len(names) == 1 else ""
        detail = f"expected the columns actual, and request_id with index or job_id with row{hint}"
        raise Problem("invalid-feedback", detail, errors=errors[:MAX_ERRORS])
    return names


def _read(placed: Iterable[Placed], limit: int, reader: ItemReader) -> Sequence[Item]:
    found: dict[object, tuple[int, Item]] = {}
    errors: list[ErrorItem] = []
    bad, count = 0, 0
    for place, each in enumerate(placed):
        count += 1
        if count > limit:
            raise Problem("too-many-rows", f"up to {limit:,} values are taken at once: send them in several requests")
        try:
            item = reader.read(each.value)
            first, same = found.setdefault(item.row, (place, item))
            if same != item:
                raise InvalidItem([_contradiction(first, same, item)])
        except InvalidItem as invalid:
            bad += 1
            errors += _located(invalid.errors, place, each.line)[: max(0, MAX_ERRORS - len(errors))]
    if not count:
        detail = "expected at least one value"
        raise Problem("empty-table", detail, errors=[ErrorItem(pointer(MEMBER), "missing", detail)])
    if errors:
        raise Problem("invalid-feedback", f"{bad:,} of {count:,} values cannot be taken, so none was", errors=errors)
    return [item for _, item in found.values()]


def _contradiction(place: int, first: Item, second: Item) -> ErrorItem:
    detail = f"{second.actual!r}, where {pointer(MEMBER, place)} says {first.actual!r} of the same row"
    return ErrorItem("/actual", "contradiction", detail)


def _located(errors: Iterable[ErrorItem], place: int, line: int | None) -> list[ErrorItem]:
    where = "" if line is None else f"line {line}: "
    base = pointer(MEMBER, place)
    return [replace(error, pointer=base + error.pointer, detail=where + error.detail) for error in errors]
