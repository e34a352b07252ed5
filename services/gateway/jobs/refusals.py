"""The one table from what is wrong with a table to the problem that the caller gets."""

from services.gateway.problems import ErrorItem, Problem, pointer
from services.gateway.tables import (
    ColumnsMissing,
    ColumnWrongType,
    EmptyTable,
    NotATable,
    NotInstances,
    TableRefused,
    TableTooLarge,
)


def as_problem(refused: TableRefused) -> Problem:
    detail = str(refused)
    match refused:
        case ColumnsMissing(names=names):
            return Problem("missing-column", detail, errors=[_column(name, "missing", "is required") for name in names])
        case ColumnWrongType(name=name):
            return Problem("invalid-body", detail, errors=[_column(name, "wrong_type", detail)])
        case TableTooLarge(rows=rows):
            return Problem("too-many-rows" if rows else "payload-too-large", detail)
        case EmptyTable():
            return Problem("empty-table", detail, errors=[ErrorItem(pointer(), "missing", "expected at least one row")])
        case NotInstances(path=path, code=code):
            return Problem("invalid-body", detail, errors=[ErrorItem(pointer(*path), code, detail)])
        case _:
            return Problem("malformed-body" if isinstance(refused, NotATable) else "invalid-body", detail)


def _column(name: str, code: str, detail: str) -> ErrorItem:
    return ErrorItem(pointer(name), code, detail)
