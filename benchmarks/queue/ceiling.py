"""The protocol alone, without scoring or store, until Valkey can do no more."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from redis.asyncio import Redis

from benchmarks.gateways import a_valkey
from benchmarks.queue.moments import Work, see
from benchmarks.queue.sleeping import Progress, jobs_for
from benchmarks.servers import Server
from services.scorer.score import score_chunk
from shared.chunks import Chunk, encode_chunk
from shared.events import ChunkScored
from shared.jobs import Part, new_job_id, target_window
from shared.keys import part_path
from tests.builders import a_spec
from tests.scorers import Jobs

PROCESSES = 2
CHUNKS = 500_000  # more than can be done
ROWS = 100  # of a chunk, which is what its event counts
WARM_SECONDS, WARM_CHUNKS = 0.5, 100


def drive(directory: Path, on: Path, lanes: int, seconds: float) -> Work:
    """Run so many lanes; Valkey's files lie `on` a disk."""
    return asyncio.run(_drive(directory, on, lanes, seconds))


async def _drive(directory: Path, on: Path, lanes: int, seconds: float) -> Work:
    with ExitStack() as stack:
        url, valkey = stack.enter_context(a_valkey(on, core=None))
        async with Redis.from_url(url, decode_responses=True) as redis:
            jobs = await jobs_for(redis, directory)
            spec = a_spec(ROWS * CHUNKS, ROWS)
            await jobs.queue.submit(spec, target_window(lanes))
            port = url.rpartition(":")[2].partition("/")[0]
            made = _made(jobs)
            servers = [
                stack.enter_context(_lanes(directory, f"process-{number}", [size, port, target_window(lanes), *made]))
                for number, size in enumerate(_shares(lanes))
            ]
            progress = Progress(redis, spec, WARM_SECONDS)
            await progress.reach(WARM_CHUNKS / CHUNKS)
            first, before = await progress.reach(0), await see(redis, valkey, servers)
            await asyncio.sleep(seconds)
            last, after = await progress.reach(0), await see(redis, valkey, servers)
    return Work(lanes, (last - first) / ROWS, after.since(before))


def _shares(lanes: int) -> Sequence[int]:
    processes = min(lanes, PROCESSES)
    return [lanes // processes] * processes


def _made(jobs: Jobs) -> tuple[str, str]:
    """Return a part and its event, as a scorer would commit them."""
    scored = score_chunk(jobs.model, encode_chunk(Chunk(0, jobs.rows(ROWS))), 0)
    job_id = new_job_id()
    key = part_path(job_id, 0, "0" * 12)
    part = Part(key=key, sha256=scored.sha256, rows=scored.rows, failed=scored.failed)
    event = ChunkScored(
        job_id=job_id,
        chunk=0,
        rows=scored.rows,
        failed=scored.failed,
        model_name=jobs.model.name,
        model_version=jobs.model.version,
        seconds=scored.seconds,
        counts=scored.counts,
    )
    return part.model_dump_json(), event.model_dump_json()


def _lanes(directory: Path, name: str, arguments: Sequence[object]) -> Server:
    command = [sys.executable, "-m", "benchmarks.queue.lanes", name, *map(str, arguments)]
    return Server(command, directory, core=None)
