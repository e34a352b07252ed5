"""What a job's results are made of: enough to fetch the parts from the store, and to prove that they are whole."""

from itertools import accumulate
from typing import Self

from pydantic import BaseModel, Field

from services.gateway.jobs.selection import Readable
from shared.jobs import JobState, Part, RowCounts


class ManifestPart(BaseModel):
    """An Arrow stream in the store: the records of consecutive rows."""

    key: str = Field(description="In the store.")
    sha256: str
    first_row: int
    rows: int
    failed: int


class Manifest(BaseModel):
    """The parts of a job in the order of its rows, without gaps."""

    job_id: str
    state: JobState
    partial: bool = Field(description="Whether rows are missing at the end.")
    rows: RowCounts
    model_name: str
    model_version: str
    model_digest: str = Field(description="SHA-256 of the version's own manifest.")
    passthrough: tuple[str, ...]
    parts: list[ManifestPart]

    @classmethod
    def of(cls, readable: Readable, model_digest: str) -> Self:
        status, parts = readable.status, readable.parts
        firsts = accumulate((part.rows for part in parts), initial=0)
        return cls(
            job_id=status.id,
            state=status.state,
            partial=readable.partial,
            rows=RowCounts(total=status.rows, done=readable.rows, failed=sum(part.failed for part in parts)),
            model_name=status.model_name,
            model_version=status.model_version,
            model_digest=model_digest,
            passthrough=status.passthrough,
            parts=[_part(part, first) for part, first in zip(parts, firsts, strict=False)],
        )


def _part(part: Part, first: int) -> ManifestPart:
    return ManifestPart(first_row=first, **part.model_dump(include={"key", "sha256", "rows", "failed"}))
