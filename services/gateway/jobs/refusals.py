"""The one table from what is wrong with a table to the problem that the caller gets."""

from services.gateway.problems import ErrorItem, Problem, pointer
from services.gateway.tables import (
    ColumnsMissing,
    ColumnWrongType,
    EmptyTable,
    NotATable,
    NotInstances,
    PassthroughRefused,
    TableRefused,
    TableTooLarge,
)


def as_problem(refused: TableRefused) -> Problem:
    slug, errors = _told(refused, str(refused))
    return Problem(slug, str(refused), errors=errors)


def _told(refused: TableRefused, detail: str) -> tuple[str, list[ErrorItem]]:
    slug, errors = "invalid-body", list[ErrorItem]()
    match refused:
        case ColumnsMissing(names=names):
            slug, errors = "missing-column", [_column(name, "missing", "is required") for name in names]
        case ColumnWrongType(name=name):
            errors = [_column(name, "wrong_type", detail)]
        case PassthroughRefused():
            slug, errors = "invalid-parameter", [ErrorItem("#/query/passthrough", "invalid", detail)]
        case TableTooLarge(rows=rows):
            slug = "too-many-rows" if rows else "payload-too-large"
        case EmptyTable():
            slug, errors = "empty-table", [ErrorItem(pointer(), "missing", detail)]
        case NotInstances(path=path, code=code):
            errors = [ErrorItem(pointer(*path), code, detail)]
        case NotATable():
            slug = "malformed-body"
    return slug, errors


def _column(name: str, code: str, detail: str) -> ErrorItem:
    return ErrorItem(pointer(name), code, detail)
