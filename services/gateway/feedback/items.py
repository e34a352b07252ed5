"""What a caller says of one row, read strictly: a value that lands at the wrong row is worse than none. Pure."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from services.gateway.edge import sane_id
from services.gateway.problems import ErrorItem, pointer
from shared.jobs import job_time
from shared.signature import NULL_TEXTS, BadValue, described, number_of, number_of_text

FIELDS = ("request_id", "index", "job_id", "row", "actual")
MAX_INDEX = 2**53 - 1
"""Whole numbers beyond are not exact in every JSON."""

T = TypeVar("T")


class Item(NamedTuple):
    """The value of one row, which is named by its request or by its job."""

    request_id: str | None
    job_id: str | None
    position: int
    actual: float

    @property
    def row(self) -> tuple[str | None, str | None, int]:
        return self[:3]


class InvalidItem(Exception):
    """`errors` point into the item."""

    def __init__(self, errors: list[ErrorItem]) -> None:
        super().__init__()
        self.errors = errors


class ItemReader:
    """
    Args:
        text: values are text, as in CSV.
    """

    def __init__(self, *, text: bool) -> None:
        self._number = number_of_text if text else number_of
        self._nulls = NULL_TEXTS if text else frozenset[str]()

    def read(self, value: object) -> Item:
        """Return the item. A field that is null counts as absent.

        Raises:
            InvalidItem: with everything that is wrong.
        """
        if not isinstance(value, Mapping):
            raise InvalidItem([ErrorItem("", "wrong_type", f"expected an object, got {described(value)}")])
        fields = _Fields({name: each for name, each in value.items() if not self._is_null(each)})
        for name in (name for name in value if name not in FIELDS):
            fields.wrong(name, "unknown_field", f"is none of {', '.join(FIELDS)}")
        request_id, job_id, index = self._row(fields)
        actual = fields.read("actual", self._number)
        if fields.errors or actual is None:
            raise InvalidItem(fields.errors)
        return Item(request_id, job_id, index or 0, actual)

    def _row(self, fields: "_Fields") -> tuple[str | None, str | None, int | None]:
        by_request, by_job = fields.has("request_id"), fields.has("job_id")
        if by_request and by_job:
            fields.wrong(None, "ambiguous", "expected one of request_id and job_id, got both")
            return None, None, None
        if by_job:
            fields.refuse("index", "of a job it is `row` that names the row")
            return None, fields.read("job_id", _job_id), fields.read("row", self._index)
        fields.refuse("row", "of a request it is `index` that names the row")
        if not by_request:
            fields.wrong(None, "missing", "expected a request_id, or a job_id with a row")
            return None, None, None
        return fields.read("request_id", _request_id), None, fields.read("index", self._index, optional=True)

    def _index(self, value: object) -> int:
        number = self._number(value)
        if not number.is_integer() or not 0 <= number <= MAX_INDEX:
            raise BadValue("wrong_type", f"expected a whole number from 0 on, got {described(value)}")
        return int(number)

    def _is_null(self, value: object) -> bool:
        return value is None or (isinstance(value, str) and value.strip() in self._nulls)


class _Fields:
    """The fields that an item gives, and what is wrong with them."""

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = given
        self.errors: list[ErrorItem] = []

    def has(self, name: str) -> bool:
        return name in self._given

    def read(self, name: str, check: Callable[[object], T], *, optional: bool = False) -> T | None:
        """Return a field; None if it is absent or wrong."""
        if name not in self._given:
            if not optional:
                self.wrong(name, "missing", "is required")
            return None
        try:
            return check(self._given[name])
        except BadValue as bad:
            self.wrong(name, bad.code, bad.detail)
            return None

    def refuse(self, name: str, why: str) -> None:
        if name in self._given:
            self.wrong(name, "unknown_field", why)

    def wrong(self, name: str | None, code: str, detail: str) -> None:
        """Note an error; without a name it is one of the item as a whole."""
        self.errors.append(ErrorItem("" if name is None else pointer(name), code, detail))


def _request_id(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue("wrong_type", f"expected text, got {described(value)}")
    if (found := sane_id(value.encode("utf-8", "replace"))) is None:
        raise BadValue("malformed", f"no request has the id {described(value)}")
    return found


def _job_id(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue("wrong_type", f"expected text, got {described(value)}")
    try:
        job_time(value)
    except ValueError:
        raise BadValue("malformed", f"no job has the id {described(value)}") from None
    return value
