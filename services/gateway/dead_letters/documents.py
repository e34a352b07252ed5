"""Dead letters as clients see them, and what /docs says of their routes."""

from collections.abc import Sequence
from typing import Any, Self

from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.gateway.dead_letters.service import Opened
from services.gateway.errors import describe_statuses
from services.gateway.routes import BODY_PROBLEMS, JSON
from services.gateway.schemas import WarningItem
from shared.jobs import DeadLetter, Job
from shared.signature import unusual

MOST_LETTERS = 10_000  # as many as are kept
MOST_SHOWN = 100  # rows of one letter
EXPECTED = '{"ids": [id, …]}, {"job": id} or {"all": true}'

Row = dict[str, float | str | None]


class RedriveOptions(BaseModel):
    """A name that is not known here is refused: a misspelt one would silently have no effect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str | None = Field(None, description="Version to score with; default the one in service.")


class DeadLetterItem(BaseModel):
    """Rows that were given up, and why: usually one."""

    id: str
    job: str
    row: int = Field(description="Position of the first row in the job.")
    rows: int
    chunk: int
    reason: str
    deaths: int = Field(description="Attempts that brought no result.")
    at: AwareDatetime
    links: dict[str, str]

    @classmethod
    def of(cls, letter: DeadLetter) -> Self:
        links = {"self": f"/dead-letters/{letter.id}", "job": f"/jobs/{letter.job_id}"}
        return cls(id=letter.id, job=letter.job_id, links=links, **letter.model_dump(exclude={"job_id"}))


class DeadLetterList(BaseModel):
    """Dead letters, the newest first."""

    dead_letters: list[DeadLetterItem]
    next_cursor: str | None = Field(description="For the next page; null at the end.")


class RowWarningItem(WarningItem):
    index: int = Field(description="Position in `instances`.")


class OpenedDeadLetter(DeadLetterItem):
    """A dead letter with its rows."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str | None = Field(
        description="What was to score the rows; null where the job cannot be read any more."
    )
    model_version: str | None
    instances: list[Row | None] | None = Field(
        description=f"Names and values, as the model understood them, of up to {MOST_SHOWN} rows; null is a row that "
        "could not be read in the first place. Null as a whole when the job's input cannot be read any more."
    )
    warnings: list[RowWarningItem] = Field(description="Values that training did not see: often they are the reason.")
    detail: str = Field(description="Why there are no `instances`.")

    @classmethod
    def opened(cls, opened: Opened) -> Self:
        item = dict(DeadLetterItem.of(opened.letter))
        original = opened.original
        if original is None:
            return cls(**item, model_name=None, model_version=None, instances=None, warnings=[], detail=opened.why)
        bad = {row for row, _ in original.errors}
        rows = list(enumerate(original.x[:MOST_SHOWN].tolist()))
        return cls(
            **item,
            model_name=original.spec.model_name,
            model_version=original.spec.model_version,
            instances=[None if index in bad else original.signature.decode(row) for index, row in rows],
            warnings=[
                RowWarningItem(index=index, field=w.field, code=w.code, detail=w.detail)
                for index, row in rows
                if index not in bad
                for w in unusual(original.signature, row)
            ],
            detail="",
        )


class Dropped(BaseModel):
    dropped: int


class RedriveOrder(BaseModel):
    """Which letters: exactly one of the three."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: list[str] = Field([], max_length=MOST_LETTERS)
    job: str | None = Field(None, description="All letters of a job.")
    all: bool = Field(False, description="All letters there are.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if [bool(self.ids), self.job is not None, self.all].count(True) != 1:
            raise ValueError("expected exactly one of ids, job and all")
        return self


_NONE = "dead-letter-not-found"


def _route(summary: str, answers: dict[int | str, dict[str, Any]], slugs: Sequence[str], **rest: str) -> dict[str, Any]:
    responses = answers | describe_statuses(*slugs, "redis-unavailable")
    return {"summary": summary, "response_class": JSONResponse, "responses": responses} | rest


LISTING = _route("List dead letters, the newest first", {200: {"model": DeadLetterList}}, ["invalid-parameter"])
ONE = _route("A dead letter, with the row that died", {200: {"model": OpenedDeadLetter}}, [_NONE, "store-unavailable"])
DROP: dict[str, Any] = {
    "summary": "Drop a dead letter",
    "description": "It leaves this list. In the results of its job the row stays an error.",
    "status_code": 204,
    "responses": {204: {"description": "Dropped"}, **describe_statuses(_NONE, "redis-unavailable")},
}
DROP_ALL = _route("Drop all dead letters of a job", {200: {"model": Dropped}}, ["invalid-parameter"])
REDRIVE = _route(
    "Score the rows of dead letters once more",
    {202: {"model": Job, "description": "Accepted as a new job; the letters have left the list"}},
    [
        *BODY_PROBLEMS,
        *("invalid-body", _NONE, "version-not-found", "version-unusable", "input-gone", "over-quota", "too-many-jobs"),
        *("no-model", "store-unavailable", "overloaded"),
    ],
    description=(
        "The rows become a new job, by the version in service or the one named. Its results carry the columns `job` "
        "and `row`: where each row comes from. Repeating a request is safe: the same letters and version are the same "
        "job. A row that does not fit another version ends as an error of its own."
    ),
) | {
    "status_code": 202,
    "openapi_extra": {
        "requestBody": {"required": True, "content": {JSON: {"schema": RedriveOrder.model_json_schema()}}}
    },
}
