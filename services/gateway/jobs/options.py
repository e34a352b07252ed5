"""What a caller may say of a job beside its table: the query of `POST /jobs`, read in this one place."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from services.gateway.problems import ErrorItem, Problem
from services.gateway.tables.passthrough import check_passthrough
from shared.clock import utc_now
from shared.jobs import Priority

MAX_SPAN = timedelta(days=366)

_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
# A plus sign that was not encoded arrives as a space, which can be nothing else in this place.
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?:([Zz])|([+ -]\d\d:\d\d))", re.ASCII)


def _names(value: Any) -> Sequence[str]:
    """Split `id,name`; a name that holds a comma is quoted as in CSV."""
    texts: Iterable[str] = [value] if isinstance(value, str) else value
    try:
        rows = [row for text in texts for row in _fields(text)]
    except csv.Error as error:
        raise ValueError(f"expected names between commas: {error}") from None
    return [name for row in rows for name in row]


def _fields(text: str) -> Iterable[Sequence[str]]:
    return csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)


class JobOptions(BaseModel):
    """A name that is not known here is refused: a misspelt one would silently have no effect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str | None = Field(
        None,
        description="Version of the model that scores all rows; the one in service by default.",
        examples=["7"],
    )
    priority: Priority = Field(
        "normal", description="Share of the scorers while several jobs run: `high` gets four times that of `low`."
    )
    deadline: str | None = Field(
        None,
        description=(
            "Rows that are not scored by then stay so: the job ends as `expired`, and what is done stays readable. An "
            "RFC 3339 timestamp with a zone, or a span from the acceptance of the job: `90` or `90s`, `15m`, `2h`, "
            "`1d`; up to a year."
        ),
        examples=["15m"],
    )
    passthrough: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (),
        description=(
            "Columns of the table that come back beside the results, separated by commas; a name that holds a comma is "
            "put into double quotes."
        ),
        examples=[["id,name"]],
    )
    webhook: str | None = Field(
        None,
        description="An https URL (http where allowed) that is told, in a signed message, when the job has ended.",
    )

    @field_validator("deadline")
    @classmethod
    def _means_a_time(cls, text: str | None) -> str | None:
        if text is not None and _moment(text, utc_now()) <= utc_now():
            raise ValueError("this has passed")
        return text

    @field_validator("passthrough")
    @classmethod
    def _can_be_columns(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        check_passthrough(names)
        return names

    def deadline_at(self, now: datetime) -> datetime | None:
        """Return the deadline of a job that is accepted now.

        Raises:
            Problem: it has passed while the table was on its way.
        """
        if self.deadline is None:
            return None
        at = _moment(self.deadline, now)
        if at <= now:
            raise invalid_option("deadline", "passed", "this passed while the table was being received")
        return at

    def fingerprint(self) -> str:
        """Return what must be the same in a repeat of the request."""
        return msgspec.json.encode(self.model_dump(exclude_defaults=True), order="deterministic").decode()


def invalid_option(name: str, code: str, detail: str) -> Problem:
    return Problem("invalid-parameter", f"{name}: {detail}", errors=[ErrorItem(f"#/query/{name}", code, detail)])


def _moment(text: str, now: datetime) -> datetime:
    """Raises ValueError."""
    if span := _SPAN.fullmatch(text.strip()):
        seconds = float(span[1]) * _SECONDS[span[2]]
        if seconds > MAX_SPAN.total_seconds():
            raise ValueError(f"a deadline may be up to {MAX_SPAN.days} days away")
        return now + timedelta(seconds=seconds)
    stamp = _TIMESTAMP.fullmatch(text.strip())
    if stamp is None:
        raise ValueError("expected a timestamp with a zone such as 2030-01-31T18:00:00Z, or a span such as 15m")
    zone = "+00:00" if stamp[3] else stamp[4].replace(" ", "+")
    at = datetime.fromisoformat(f"{stamp[1]}T{stamp[2]}{zone}")
    if at - now > MAX_SPAN:
        raise ValueError(f"a deadline may be up to {MAX_SPAN.days} days away")
    return at
