"""The client's methods for jobs."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from tasador.client.answers import Job, JobPage, Manifest, Result, Webhook
from tasador.client.base import Connected, blocks, encode, given, instances, waiting
from tasador.client.downloads import Download
from tasador.client.errors import TasadorError
from tasador.client.formats import JSON, NDJSON, content_coding, media_type, result_type
from tasador.client.options import Deadline, Priority, job_options
from tasador.client.saving import Saving
from tasador.client.waiting import LONG_POLL, wait_for_end

_ACCEPT_SECONDS = 600  # the gateway reads the whole table before it answers: half a minute for ten million rows

_OFTEN = 0.25  # seconds between two looks for whoever wants to see progress


class Jobs(Connected):
    def submit(
        self,
        source: str | os.PathLike[str] | IO[bytes] | Iterable[Mapping[str, Any]],
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
        idempotency_key: str | None = None,
        version: str | None = None,
        priority: Priority | None = None,
        deadline: Deadline | None = None,
        passthrough: Sequence[str] = (),
        webhook: str | None = None,
    ) -> Job:
        """Submit a file by its path, an open binary file (with its `content_type`), or rows.

        A file is streamed, so it may be larger than memory, and one whose name ends in .gz or .zst is decompressed
        over there. Repeating a call with the same key, after a lost answer say, gives the same job.

        Args:
            content_encoding: gzip or zstd, where the name does not say it.
            version: that scores the rows; default the champion.
            deadline: what is not scored by then is given up, and the job ends as expired.
            passthrough: columns of the table that come back beside the results.
            webhook: a URL that hears of the job's end.
        """
        options = job_options(version, priority, deadline, passthrough, webhook)
        headers = {"idempotency-key": _key(idempotency_key)}
        if content_encoding:
            headers["content-encoding"] = content_encoding
        if isinstance(source, str | os.PathLike):
            path = Path(source)
            if coding := content_coding(path):
                headers["content-encoding"] = coding
            with path.open("rb") as file:  # first: whether it is there is said before what it is called
                return self._submit(blocks(file), content_type or media_type(path), headers, options)
        read = getattr(source, "read", None)
        if callable(read):
            if content_type is None:
                raise ValueError("an open file does not say its format: pass content_type")
            return self._submit(blocks(source), content_type, headers, options)
        rows: Any = source
        return self._submit(encode(instances(rows)), JSON, headers, options)

    def submit_reference(
        self,
        url: str,
        *,
        format: str | None = None,
        idempotency_key: str | None = None,
        version: str | None = None,
        priority: Priority | None = None,
        deadline: Deadline | None = None,
        passthrough: Sequence[str] = (),
        webhook: str | None = None,
    ) -> Job:
        """Submit a table that the gateway reads itself, from a place that it allows (s3://… or file://…).

        Args:
            format: csv, ndjson, json, parquet or arrow; default as the name ends.
        """
        options = job_options(version, priority, deadline, passthrough, webhook)
        headers = {"idempotency-key": _key(idempotency_key)}
        return self._submit(encode(given(input=url, format=format)), JSON, headers, options)

    def _submit(
        self, content: bytes | Iterator[bytes], content_type: str, headers: dict[str, str], options: dict[str, str]
    ) -> Job:
        typed = {**headers, "content-type": content_type}
        wait = self._longer(_ACCEPT_SECONDS)
        return self._http.read(Job, "POST", "/jobs", content=content, headers=typed, params=options, timeout=wait)

    def jobs(self, *, limit: int = 50, cursor: str | None = None, state: str | None = None) -> JobPage:
        """Return a page of at most 200 jobs, the newest first."""
        return self._http.read(JobPage, "GET", "/jobs", params=given(limit=limit, cursor=cursor, state=state))

    def job(self, job_id: str, *, wait: float = 0) -> Job:
        """Return one job; with `wait`, when it changes, or after so many seconds. Raises NotFound, Gone."""
        return self._http.read(Job, "GET", f"/jobs/{job_id}", params=waiting(wait), timeout=self._longer(wait))

    def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        on_progress: Callable[[Job], None] | None = None,
        on_outage: Callable[[TasadorError], None] | None = None,
        save_to: str | os.PathLike[str] | None = None,
    ) -> Job:
        """Return the job when it has ended, however it ended; a stack that restarts meanwhile is waited for.

        Args:
            on_outage: hears of it when the gateway stops answering.
            save_to: a file that has the results by then, in the format of its suffix. CSV and JSON lines are fetched
                while the rest is scored.

        Raises:
            TimedOut: the job goes on.
            OSError: the file cannot be written; the job goes on to its end, which was waited for.
        """

        def ask(seconds: float) -> Job:
            return self.job(job_id, wait=seconds)

        if save_to is None:
            return wait_for_end(ask, timeout, on_progress, _OFTEN if on_progress else LONG_POLL, on_outage)
        with self._saving(job_id, Path(save_to)) as saving:

            def progressed(job: Job) -> None:
                saving.more(job)
                if on_progress:
                    on_progress(job)

            often = on_progress or saving.early
            job = wait_for_end(ask, timeout, progressed, _OFTEN if often else LONG_POLL, on_outage)
            saving.end()
            return job

    def cancel(self, job_id: str) -> Job:
        """Stop a job; what is done stays readable. Raises NotFound, Gone."""
        return self._http.read(Job, "DELETE", f"/jobs/{job_id}")

    def manifest(self, job_id: str) -> Manifest:
        """Return what the results consist of: the version, and each part with its digest."""
        return self._http.read(Manifest, "GET", f"/jobs/{job_id}/manifest")

    # --- results

    def results(self, job_id: str, *, cursor: int = 0, limit: int | None = None) -> Iterator[Result]:
        """Yield one result per row, in order: of a running job, those of its finished beginning.

        A transfer that breaks goes on where it did, also through a restart of the gateway.

        Args:
            cursor: position of the first row.
            limit: so many rows at most.
        """
        return self._records(f"/jobs/{job_id}/results", cursor, limit)

    def errors(self, job_id: str, *, cursor: int = 0) -> Iterator[Result]:
        """Yield the rows that failed, in order, from a position in the job on."""
        return self._records(f"/jobs/{job_id}/errors", cursor, None)

    def save_results(
        self,
        job_id: str,
        target: str | os.PathLike[str] | IO[bytes],
        *,
        format: str | None = None,
        errors_only: bool = False,
    ) -> int:
        """Write the results in a format, by default that of the file name's suffix; return the bytes written.

        A file appears only when it is complete. A transfer that breaks goes on where it did in JSON lines and CSV; in
        the other formats a file is begun anew, and an open one is left as it is, with the error.
        """
        what = "errors" if errors_only else "results"
        if not isinstance(target, str | os.PathLike):
            download = Download(self._http, f"/jobs/{job_id}/{what}", media_type(format or "ndjson"))
            return _copy(download, target)
        with self._saving(job_id, Path(target), what, format) as saving:
            return saving.end()

    def _saving(self, job_id: str, path: Path, what: str = "results", format: str | None = None) -> Saving:
        kind = media_type(format) if format else result_type(path)
        return Saving(Download(self._http, f"/jobs/{job_id}/{what}", kind), path)

    def _records(self, path: str, cursor: int, limit: int | None) -> Iterator[Result]:
        for records in Download(self._http, path, NDJSON).records(cursor, limit):
            for line in records.splitlines():
                yield Result.model_validate_json(line)

    # --- webhooks

    def webhook(self, job_id: str) -> Webhook:
        """Return what became of the message that the job's end sent. Raises NotFound: the job has none."""
        return self._http.read(Webhook, "GET", f"/jobs/{job_id}/webhook")

    def resend_webhook(self, job_id: str) -> Webhook:
        """Send the message once more, under the same id."""
        return self._http.read(Webhook, "POST", f"/jobs/{job_id}/webhook/resend")


def _key(given: str | None) -> str:
    """Return the header. An empty key is sent, and refused: a script forgot to set it."""
    return _quoted(str(uuid4()) if given is None else given)


def _quoted(key: str) -> str:
    """Return a string of a structured header (RFC 8941)."""
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _copy(download: Download, file: IO[bytes]) -> int:
    return sum(file.write(block) for block in (download.records() if download.resumable else download.blocks()))
