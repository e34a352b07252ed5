"""What the store knows of jobs: the spec from submission, the record from the end. It outlives Redis.

The order is always the same: a spec before Redis hears of the job, an end after Redis has decided it, and the answer to
whoever asked after both.
"""

from itertools import takewhile

from pydantic import ValidationError

from shared.jobs import EndState, JobRecord, JobSpec, JobStatus, Part
from shared.keys import job_path
from shared.scripts import NO_LIMIT, JobQueue, Submitted
from shared.store import ObjectExists, ObjectNotFound, Store

SPEC, MANIFEST, END = "job.json", "manifest.json", "end.json"


async def submit_job(
    queue: JobQueue,
    store: Store,
    spec: JobSpec,
    *,
    window: int,
    backlog_limit_rows: int = NO_LIMIT,
    open_limit: int = NO_LIMIT,
) -> Submitted:
    """Accept a job whose input is in the store. See `JobQueue.submit`; what is refused leaves no spec behind.

    `duplicate`: the job of this id is another one. When Redis goes away in the middle nobody knows whether the job was
    accepted: the spec stays, and it may run.
    """
    try:
        await store.put_new(job_path(spec.id, SPEC), spec.model_dump_json().encode())
    except ObjectExists:
        if not await _is_stored(store, spec):
            return "duplicate"
    answer = await queue.submit(spec, window, backlog_limit_rows, open_limit)
    if answer in ("busy", "crowded"):
        await store.delete(job_path(spec.id, SPEC))
    return "ok" if answer == "duplicate" else answer  # the janitor found our spec before we had told Redis


async def _is_stored(store: Store, spec: JobSpec) -> bool:
    """Whether the spec in the store is this very one: the answer to an earlier write of it was lost."""
    try:
        return await read_spec(store, spec.id) == spec
    except (ObjectNotFound, ValidationError):
        return False


async def read_spec(store: Store, job_id: str) -> JobSpec:
    """Raises ObjectNotFound."""
    return JobSpec.model_validate_json(await store.get(job_path(job_id, SPEC)))


async def read_record(store: Store, job_id: str) -> JobRecord | None:
    """Return how a job ended, if it did. A cancel that met the finalisation half-way wins: it was answered."""
    for name in (END, MANIFEST):
        try:
            return JobRecord.model_validate_json(await store.get(job_path(job_id, name)))
        except ObjectNotFound:
            continue
    return None


async def find_job(queue: JobQueue, store: Store, job_id: str) -> JobStatus | None:
    """Return a job that was ever accepted, whether or not Redis still knows it; None if there is none."""
    return await queue.status(job_id) or await stored_job(store, job_id, queue.keys.tenant)


async def stored_job(store: Store, job_id: str, tenant: str) -> JobStatus | None:
    """Return what the store knows of a job: its end, or else that it waits, which it will once it was put back.

    None: there is no such job, or it is another tenant's.
    """
    record = await read_record(store, job_id)
    try:
        status = record.status if record else JobStatus.submitted(await read_spec(store, job_id))
    except ObjectNotFound:
        return None
    return status if status.tenant == tenant else None


async def remove_job(store: Store, job_id: str) -> None:
    """Remove all that the store has of a job. Safe to repeat.

    The spec goes first: found without a record of its end, it would be run again.
    """
    await store.delete(job_path(job_id, SPEC))
    await store.delete_all(job_path(job_id, ""))


async def write_manifest(store: Store, record: JobRecord) -> JobRecord:
    """Record that a job was completed, and return the record that stands: the first one.

    Whoever was paused in the midst of this while Redis was flushed and the job run anew names other parts, which may
    have been swept by now.
    """
    return await _write(store, record, MANIFEST)


async def end_job(queue: JobQueue, store: Store, job_id: str, state: EndState, error: str = "") -> JobStatus | None:
    """End a job early (cancel, expire, fail) and record it; returns its status, None for a job Redis does not know.

    A job that has ended already stays as it is, and so does one that is finalised when it should expire: look at the
    state. Safe to repeat.
    """
    status = await queue.status(job_id)
    while status is not None and not status.ended:  # again, should a flush and the janitor bring it back in between
        if await queue.end(status, state, error) == "finalizing" and state == "expired":
            return await queue.status(job_id)
        status = await queue.status(job_id)
    if status is None or status.state == "completed" or await store.exists(job_path(job_id, END)):
        return status
    return await record_end(queue, store, status)


async def record_end(queue: JobQueue, store: Store, status: JobStatus) -> JobStatus:
    """Record the end of a job that Redis says was ended early, with the parts that stay readable.

    The first record stays: Redis keeps the parts of an ended job for a while only.
    """
    try:
        digest = (await read_spec(store, status.id)).model_digest
    except (ObjectNotFound, ValidationError):  # which may be why it failed
        digest = ""
    parts = prefix(await queue.parts(status.id))
    counts = {"done": sum(part.rows for part in parts), "failed": sum(part.failed for part in parts)}
    record = JobRecord(status=status.model_copy(update=counts), model_digest=digest, parts=parts)
    record = await _write(store, record, END)
    await queue.settle(record.status)
    return record.status


async def parts_of(queue: JobQueue, store: Store, status: JobStatus) -> tuple[Part, ...]:
    """Return the parts that can be read, in order: all of a completed job, else those before the first gap."""
    if status.ended:
        record = await read_record(store, status.id)
        if record is not None:
            return record.parts
    return prefix(await queue.parts(status.id))


def prefix(parts: dict[int, Part]) -> tuple[Part, ...]:
    """Return the parts of chunks 0, 1, 2, … up to the first that is missing."""
    return tuple(parts[chunk] for chunk in takewhile(parts.__contains__, range(len(parts))))


async def _write(store: Store, record: JobRecord, name: str) -> JobRecord:
    """Write a record once; returns the one that is there."""
    key = job_path(record.status.id, name)
    try:
        await store.put_new(key, record.model_dump_json().encode())
    except ObjectExists:
        return JobRecord.model_validate_json(await store.get(key))
    return record
