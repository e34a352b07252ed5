"""`job list|show|cancel|results|manifest|webhook|resend`."""

import sys
from typing import Annotated

import typer

from tasador.cli import score
from tasador.cli.connect import UrlOption, connected
from tasador.cli.output import Format, FormatOption, err, out, print_fields, print_json, print_rows
from tasador.client import Client, Job, Webhook

app = typer.Typer(
    name="job", help="Jobs: list, show, cancel, fetch results and what is known of them.", no_args_is_help=True
)

JobId = Annotated[str, typer.Argument(help="Id of the job.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(app)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")] = 20,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    output: FormatOption = Format.TABLE,
    url: UrlOption = None,
) -> None:
    """List jobs, the newest first."""
    with connected(url) as client:
        jobs = _newest(client, limit, state)
    if output is Format.JSON:
        print_json([job.model_dump(mode="json") for job in jobs])
        return
    print_rows(
        [_row(job) for job in jobs], ["job", "state", "rows", "done", "failed", "version", "created"], "No jobs."
    )


@app.command()
def show(
    job_id: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, with progress.")] = False,
    output: FormatOption = Format.TABLE,
    url: UrlOption = None,
) -> None:
    """Show one job."""
    with connected(url) as client:
        job = client.job(job_id)
        if wait:
            job = score.follow(client, job)
        score.show(job, output)
        score.end_with(job, waited=wait)


@app.command()
def cancel(job_id: JobId, output: FormatOption = Format.TABLE, url: UrlOption = None) -> None:
    """Cancel a job; what is done stays readable."""
    with connected(url) as client:
        score.show(client.cancel(job_id), output)


@app.command()
def results(
    job_id: JobId,
    to: Annotated[
        str, typer.Option("--out", "-o", help="File to write, in the format of its suffix; - is stdout.")
    ] = "-",
    format: Annotated[
        str | None, typer.Option("--format", help="ndjson, csv, json, parquet or arrow; default by the file name.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only the rows that failed.")] = False,
    url: UrlOption = None,
) -> None:
    """Fetch the results of a job; of one that runs, what is finished."""
    with connected(url) as client:
        if to == "-":
            client.save_results(job_id, sys.stdout.buffer, format=format, errors_only=errors)
        else:
            written = client.save_results(job_id, to, format=format, errors_only=errors)
            err().print(f"Wrote {written:,} bytes to {to}", markup=False, soft_wrap=True)


@app.command()
def manifest(job_id: JobId, output: FormatOption = Format.TABLE, url: UrlOption = None) -> None:
    """Show what a job's results consist of: the version, and every part with its digest."""
    with connected(url) as client:
        found = client.manifest(job_id)
    if output is Format.JSON:
        print_json(found.model_dump(mode="json"))
        return
    rows = f"{found.rows.done:,} of {found.rows.total:,}" + (
        f", {found.rows.failed:,} failed" * (found.rows.failed > 0)
    )
    model = f"{found.model_name} {found.model_version}"
    print_fields(
        {"job": found.job_id, "state": found.state, "rows": rows, "model": model, "digest": found.model_digest}
    )
    out().print()
    parts = [part.model_dump() for part in found.parts]
    print_rows(parts, ["first_row", "rows", "failed", "sha256", "key"], "No parts yet.")


@app.command()
def webhook(job_id: JobId, output: FormatOption = Format.TABLE, url: UrlOption = None) -> None:
    """Show what became of the message about a job's end."""
    with connected(url) as client:
        _show_webhook(client.webhook(job_id), output)


@app.command()
def resend(job_id: JobId, output: FormatOption = Format.TABLE, url: UrlOption = None) -> None:
    """Send the message about a job's end once more."""
    with connected(url) as client:
        _show_webhook(client.resend_webhook(job_id), output)


def _show_webhook(found: Webhook, output: Format) -> None:
    if output is Format.JSON:
        print_json(found.model_dump(mode="json"))
        return
    print_fields({"url": found.url, "state": found.state, "next attempt": found.next_attempt_at})
    out().print()
    attempts = [attempt.model_dump() for attempt in found.attempts]
    print_rows(attempts, ["at", "status", "seconds", "error"], "Not tried yet.")


def _newest(client: Client, limit: int, state: str | None) -> list[Job]:
    """Return so many jobs. A page of one state may be empty and not the last."""
    page = client.jobs(limit=limit, state=state)
    found = list(page.jobs)
    while page.next_cursor and len(found) < limit:
        page = client.jobs(limit=limit - len(found), cursor=page.next_cursor, state=state)
        found += page.jobs
    return found


def _row(job: Job) -> dict[str, object]:
    return {
        "job": job.id,
        "state": job.state,
        "rows": job.rows.total,
        "done": job.rows.done,
        "failed": job.rows.failed,
        "version": job.model_version,
        "created": f"{job.created_at:%Y-%m-%d %H:%M:%S}",
    }
