"""The client: one method per thing that the gateway can do."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from uuid import uuid4

from tasador.client.answers import (
    BatchPrediction,
    Health,
    Job,
    JobPage,
    Metrics,
    ModelInfo,
    ModelList,
    Operation,
    Prediction,
    Replicas,
    Result,
    Row,
)
from tasador.client.formats import JSON, NDJSON, content_coding, media_type
from tasador.client.transport import Transport
from tasador.client.waiting import wait_for_end

DEFAULT_URL = "http://127.0.0.1:8000"


class Client:
    """A gateway, from Python.

    >>> with Client("http://127.0.0.1:8000") as tasador:
    ...     job = tasador.wait(tasador.submit("rows.csv").id)
    ...     tasador.save_results(job.id, "predictions.parquet")

    Every method raises a subclass of `TasadorError`; nothing is retried behind the caller's back except by the `wait`s.
    """

    def __init__(self, base_url: str = DEFAULT_URL, *, timeout: float = 30.0) -> None:
        self._http = Transport(base_url, timeout)
        self._timeout = timeout

    @property
    def base_url(self) -> str:
        return self._http.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- predictions

    def predict(self, row: Mapping[str, Any]) -> Prediction:
        """Raises Invalid, naming every field that does not fit the model."""
        return self._http.read(Prediction, "POST", "/predict", **_json(dict(row)))

    def predict_batch(self, rows: Iterable[Mapping[str, Any]]) -> BatchPrediction:
        """Score some rows at once; a bad row is an error of its own. Raises TooLarge: submit those as a job."""
        return self._http.read(BatchPrediction, "POST", "/predict/batch", **_json(_instances(rows)))

    # --- jobs

    def submit(
        self,
        source: str | os.PathLike[str] | IO[bytes] | Iterable[Mapping[str, Any]],
        *,
        content_type: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a file by its path, an open binary file (with its `content_type`), or rows.

        A file is streamed, so it may be larger than memory, and one whose name ends in .gz or .zst is decompressed
        over there. Repeating a call with the same key, after a lost answer
        say, gives the same job.
        """
        headers = {"idempotency-key": f'"{idempotency_key or uuid4()}"'}
        if isinstance(source, str | os.PathLike):
            path = Path(source)
            if coding := content_coding(path):
                headers["content-encoding"] = coding
            named = content_type or media_type(path)
            with path.open("rb") as file:
                return self._submit(_blocks(file), named, headers)
        read = getattr(source, "read", None)
        if callable(read):
            if content_type is None:
                raise ValueError("an open file does not say its format: pass content_type")
            return self._submit(_blocks(source), content_type, headers)
        rows: Any = source
        return self._submit(_encode(_instances(rows)), JSON, headers)

    def _submit(self, content: bytes | Iterator[bytes], content_type: str, headers: dict[str, str]) -> Job:
        typed = {**headers, "content-type": content_type}
        return self._http.read(Job, "POST", "/jobs", content=content, headers=typed)

    def jobs(self, *, limit: int = 50, cursor: str | None = None, state: str | None = None) -> JobPage:
        """Return a page of at most 200 jobs, the newest first."""
        parameters = {"limit": limit, "cursor": cursor, "state": state}
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._http.read(JobPage, "GET", "/jobs", params=given)

    def job(self, job_id: str, *, wait: float = 0) -> Job:
        """Return one job; with `wait`, when it changes, or after so many seconds. Raises NotFound, Gone."""
        return self._http.read(
            Job, "GET", f"/jobs/{job_id}", params=_waiting(wait), timeout=self._timeout + max(0.0, wait)
        )

    def wait(
        self, job_id: str, *, timeout: float | None = None, on_progress: Callable[[Job], None] | None = None
    ) -> Job:
        """Return the job when it has ended, however it ended; a stack that restarts meanwhile is waited for.

        Raises:
            TimedOut: the job goes on.
        """
        poll = 0.25 if on_progress else 10.0
        return wait_for_end(lambda seconds: self.job(job_id, wait=seconds), timeout, on_progress, poll)

    def cancel(self, job_id: str) -> Job:
        """Stop a job; what is done stays readable. Raises NotFound, Gone."""
        return self._http.read(Job, "DELETE", f"/jobs/{job_id}")

    def results(self, job_id: str) -> Iterator[Result]:
        """Yield one result per row, in order: of a running job, those of its finished beginning."""
        return self._records(f"/jobs/{job_id}/results")

    def errors(self, job_id: str) -> Iterator[Result]:
        """Yield the rows that failed, in order."""
        return self._records(f"/jobs/{job_id}/errors")

    def save_results(
        self, job_id: str, target: str | os.PathLike[str] | IO[bytes], *, format: str | None = None
    ) -> int:
        """Write the results in a format, by default that of the file name's suffix; return the bytes written.

        A file appears only when it is complete.
        """
        if not isinstance(target, str | os.PathLike):
            return self._copy(job_id, media_type(format or "ndjson"), target)
        path = Path(target)
        accept = media_type(format or path)
        beside = path.with_name(f".{path.name}.part")
        try:
            with beside.open("wb") as file:
                written = self._copy(job_id, accept, file)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        return written

    def _copy(self, job_id: str, accept: str, file: IO[bytes]) -> int:
        written = 0
        with self._http.stream(f"/jobs/{job_id}/results", accept) as response:
            for block in response.iter_bytes():
                written += file.write(block)
        return written

    def _records(self, path: str) -> Iterator[Result]:
        with self._http.stream(path, NDJSON) as response:
            for line in response.iter_lines():
                if line:
                    yield Result.model_validate_json(line)

    # --- models

    def model_info(self) -> ModelInfo:
        """Return the version that answers now."""
        return self._http.read(ModelInfo, "GET", "/model/info")

    def models(self) -> ModelList:
        return self._http.read(ModelList, "GET", "/models")

    def replicas(self) -> Replicas:
        return self._http.read(Replicas, "GET", "/replicas")

    def promote(self, version: str, *, reason: str | None = None) -> Operation:
        """Ask for a version to be put into service; see `wait_operation`."""
        return self._command("promote", version=version, reason=reason)

    def rollback(self, version: str | None = None, *, reason: str | None = None) -> Operation:
        """Ask for the version that served before, or an earlier one."""
        return self._command("rollback", version=version, reason=reason)

    def retrain(self, *, reason: str | None = None) -> Operation:
        return self._command("retrain", reason=reason)

    def reload(self, *, reason: str | None = None) -> Operation:
        """Ask every replica to look at the desired version now."""
        return self._command("reload", reason=reason)

    def operation(self, operation_id: str, *, wait: float = 0) -> Operation:
        return self._http.read(
            Operation,
            "GET",
            f"/admin/operations/{operation_id}",
            params=_waiting(wait),
            timeout=self._timeout + max(0.0, wait),
        )

    def wait_operation(
        self,
        operation_id: str,
        *,
        timeout: float | None = None,
        on_progress: Callable[[Operation], None] | None = None,
    ) -> Operation:
        """Return the operation when it has ended, well or not. Raises TimedOut."""
        poll = 0.5 if on_progress else 10.0
        return wait_for_end(lambda seconds: self.operation(operation_id, wait=seconds), timeout, on_progress, poll)

    def _command(self, name: str, **body: str | None) -> Operation:
        given = {key: value for key, value in body.items() if value is not None}
        return self._http.read(Operation, "POST", f"/admin/{name}", **_json(given))

    # --- the gateway itself

    def health(self) -> Health:
        return self._http.read(Health, "GET", "/health")

    def is_ready(self) -> bool:
        """Tell whether the gateway can predict. Raises Unreachable."""
        return self._http.probe("/health/ready")

    def metrics(self) -> Metrics:
        return self._http.read(Metrics, "GET", "/metrics", headers={"accept": JSON})


def _instances(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Row]]:
    return {"instances": [dict(row) for row in rows]}


def _json(value: object) -> dict[str, Any]:
    return {"content": _encode(value), "headers": {"content-type": JSON}}


def _encode(value: object) -> bytes:
    """Encode; NumPy's numbers are taken for what they hold. Raises ValueError for NaN: a missing value is None."""
    return json.dumps(value, allow_nan=False, default=_item).encode()


def _item(value: Any) -> Any:
    if not callable(getattr(value, "item", None)):
        raise TypeError(f"{value!r} cannot be sent as JSON")
    return value.item()


def _waiting(seconds: float) -> dict[str, str]:
    return {"wait": f"{seconds:g}"} if seconds > 0 else {}


def _blocks(file: Any, size: int = 1 << 16) -> Iterator[bytes]:
    while block := file.read(size):
        yield block
