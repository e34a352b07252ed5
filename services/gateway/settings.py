"""Settings of the gateway: `TASADOR_GATEWAY_…`."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import NoDecode

from shared.settings import CommonSettings


def _listed(value: Any) -> Any:
    return [part for part in map(str.strip, value.split(",")) if part] if isinstance(value, str) else value


def _prefix(url: str) -> str:
    """End a prefix where a name ends: `s3://bucket/in` does not mean `s3://bucket/inside`."""
    parts = urlsplit(url)
    rooted = parts.path.startswith("/") if parts.scheme == "file" else bool(parts.netloc)
    if not parts.scheme or not rooted or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no prefix such as s3://bucket/folder/ or file:///folder/")
    return url.rstrip("/") + "/"


InputPrefixes = Annotated[tuple[Annotated[str, AfterValidator(_prefix)], ...], NoDecode, BeforeValidator(_listed)]


class GatewaySettings(CommonSettings):
    gateway_host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    gateway_port: NonNegativeInt = Field(8000, le=65535, description="Port to listen on; 0 takes a free one.")
    gateway_sockets: tuple[int, ...] = Field(
        (), description="Set by the launcher for several workers: the sockets that they inherit."
    )
    gateway_worker: NonNegativeInt = Field(0, description="Set by the launcher: which of the workers this is, from 1.")
    gateway_address: str = Field(
        "", description="Base URL that the replica announces; default http://<host>:<port> as bound."
    )
    gateway_drain_seconds: PositiveInt = Field(
        14, le=60, description="How long requests may take to finish after SIGTERM."
    )

    gateway_max_row_bytes: PositiveInt = Field(262_144, description="Largest body of /predict and of the admin routes.")
    gateway_max_batch_bytes: PositiveInt = Field(16_777_216, description="Largest body of /predict/batch.")
    gateway_max_batch_rows: PositiveInt = Field(
        10_000, description="Most rows of /predict/batch; more belong to /jobs."
    )
    gateway_max_batches: PositiveInt = Field(
        8, description="Batches read or waiting at once; the next one gets 503. Bounds their memory."
    )
    gateway_max_requests: PositiveInt = Field(
        1024, description="Requests in flight at once; the next one gets 503. Those that only wait do not count."
    )
    gateway_max_waiting: PositiveInt = Field(
        1024, description="Long polls and event streams at once; the next one gets 503."
    )

    gateway_body_seconds: PositiveFloat = Field(
        30.0, description="Time for the body of a prediction to arrive, and for which that of a job may stand still."
    )

    gateway_fast_path: bool = Field(
        False,
        description="Answer /predict inside the parser of HTTP: less work for each. Leans on the insides of uvicorn.",
    )

    gateway_chunk_rows: PositiveInt | None = Field(
        None, description="Rows of a job's chunk, the unit of work of a scorer; default 200 ms of work, as measured."
    )
    gateway_input_prefixes: InputPrefixes = Field(
        (), description="Where jobs may take their input from by reference: s3://… and file:///…; default nowhere."
    )
    gateway_max_job_bytes: PositiveInt = Field(
        5_368_709_120, description="Largest body of a job, and largest size after decompression."
    )

    gateway_max_job_rows: PositiveInt = Field(100_000_000, description="Most rows of a job.")
    gateway_max_document_bytes: PositiveInt = Field(
        16_777_216, description="Largest JSON document of a job: it is held in memory, unlike all other formats."
    )
    gateway_max_record_batch_bytes: PositiveInt = Field(
        134_217_728, description="Largest record batch of an Arrow stream, decoded: it is held in memory."
    )
    gateway_max_uploads: PositiveInt = Field(
        32, description="Jobs being received at once; the next one gets 503. Bounds what they take of the disk."
    )
    gateway_max_backlog_rows: PositiveInt = Field(
        200_000_000, description="Rows accepted and not yet finished, of all jobs; a job beyond gets 429."
    )
    gateway_max_open_jobs: PositiveInt = Field(
        1_000, description="Jobs that have not ended, of all gateways; the next one gets 429."
    )
    gateway_spool_dir: Path | None = Field(
        None, description="Disk for bodies of jobs while they are read; default <state_dir>/spool. Not a tmpfs."
    )
    gateway_idempotency_hours: PositiveFloat = Field(
        24.0, le=24, description="How long an Idempotency-Key is remembered, and the id of the job that it is for."
    )

    gateway_telemetry_seconds: PositiveFloat = Field(0.1, description="Predictions are logged at least this often ...")
    gateway_telemetry_rows: PositiveInt = Field(1_000, description="... or when this many are waiting.")
    gateway_telemetry_buffer: PositiveInt = Field(
        100_000, description="Predictions kept while Redis is away; further ones are not logged, but counted."
    )
    gateway_telemetry_bytes: PositiveInt = Field(
        67_108_864, description="Most bytes of the stream of logged predictions in Redis; above, they are dropped."
    )

    gateway_max_feedback_bytes: PositiveInt = Field(4_194_304, description="Largest body of /feedback.")
    gateway_max_feedback_rows: PositiveInt = Field(10_000, description="Most values of one request to /feedback.")
    gateway_max_feedback_requests: PositiveInt = Field(
        4, description="Requests to /feedback in memory at once; the next one gets 503."
    )
    gateway_feedback_bytes: PositiveInt = Field(
        67_108_864, description="Most bytes of the stream of feedback in Redis; above, it is refused with 503."
    )

    gateway_model_max_age_days: PositiveFloat = Field(
        90.0, description="A champion that was trained longer ago is reported by /health."
    )

    @property
    def spool_dir(self) -> Path:
        return self.gateway_spool_dir or self.state_dir / "spool"
