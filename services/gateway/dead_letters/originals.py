"""The rows of dead letters, from the inputs of their jobs."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from shared.artifact import ArtifactInvalid, fetch_signature
from shared.chunks import Chunk, ChunkInvalid, decode_chunk
from shared.jobs import DeadLetter, JobSpec
from shared.records import read_spec
from shared.signature import FieldError, Signature
from shared.store import ObjectNotFound, Store


class InputGone(ValueError):
    """The rows of a job can no longer be read."""

    def __init__(self, job_id: str, why: object) -> None:
        super().__init__(f"the input of job {job_id} cannot be read any more: {why}")
        self.job_id = job_id


@dataclass(frozen=True, eq=False)
class Original:
    """The rows of one letter as they were submitted, shape (n, F), encoded by `signature`."""

    letter: DeadLetter
    spec: JobSpec
    signature: Signature
    x: NDArray[np.float64]
    errors: list[tuple[int, FieldError]]
    """Rows that were bad from the beginning: (row within the letter, its error)."""


class Originals:
    """Reads one chunk at a time, and each but once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, letters: Iterable[DeadLetter]) -> AsyncIterator[Original]:
        """Yield the rows of each letter, in the order of jobs and rows.

        Raises:
            InputGone
        """
        ordered = sorted(letters, key=lambda letter: (letter.job_id, letter.chunk, letter.row))
        for job_id, of_job in groupby(ordered, key=lambda letter: letter.job_id):
            try:
                spec = await read_spec(self._store, job_id)
                signature = await fetch_signature(self._store, spec.model_name, spec.model_version, spec.model_digest)
                for number, of_chunk in groupby(of_job, key=lambda letter: letter.chunk):
                    chunk = await self._chunk(spec, number)
                    for letter in of_chunk:
                        yield _original(letter, spec, signature, chunk)
            except (ObjectNotFound, ValidationError, ArtifactInvalid, ChunkInvalid) as gone:
                raise InputGone(job_id, gone) from gone

    async def one(self, letter: DeadLetter) -> Original:
        """Raises InputGone."""
        return await anext(self.read([letter]))

    async def _chunk(self, spec: JobSpec, number: int) -> Chunk:
        if not 0 <= number < spec.chunks:
            raise ChunkInvalid(f"it has no chunk {number}")
        first, end = spec.input_offsets[number], spec.input_offsets[number + 1]
        return decode_chunk(await self._store.get_range(spec.input_key, first, end))


def _original(letter: DeadLetter, spec: JobSpec, signature: Signature, chunk: Chunk) -> Original:
    first = letter.row - chunk.start
    if first < 0 or first + letter.rows > chunk.rows:
        raise ChunkInvalid(f"chunk {letter.chunk} has no row {letter.row}")
    errors = [
        (error.index - letter.row, FieldError(error.field, error.code, error.detail))
        for error in chunk.errors
        if letter.row <= error.index < letter.row + letter.rows
    ]
    return Original(letter, spec, signature, chunk.x[first : first + letter.rows], errors)
