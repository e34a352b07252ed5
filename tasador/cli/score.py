"""`score`: a file of any size, as a job."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from tasador.cli.connect import UrlOption, connected
from tasador.cli.output import Exit, Format, err, fail, one_line, outage, print_fields, print_json
from tasador.cli.piped import UnknownPipe, recognise
from tasador.client import Client, Job, TasadorError, TimedOut
from tasador.client.formats import UnknownFormat, media_type, result_type

VersionOption = Annotated[
    str | None, typer.Option("--version", help="Version that scores the rows; default the one in service.")
]


def add_to(app: typer.Typer) -> None:
    app.command()(score)


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


def score(  # noqa: PLR0917 - the options of a command
    file: Annotated[
        str,
        typer.Argument(
            help="CSV, NDJSON, JSON, Parquet or Arrow file; - reads stdin; s3://… or file://… is read by the gateway."
        ),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, with progress.")] = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", help="Write the results here, in the format of its suffix (implies --wait); - is stdout."
        ),
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="How to print the job.")] = Format.TABLE,
    type_: Annotated[
        str | None, typer.Option("--type", help="Format of the input when its name does not say: csv, ndjson, …")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to wait at most; the job goes on.")] = None,
    version: VersionOption = None,
    priority: Annotated[Priority | None, typer.Option(help="Share of the scorers while several jobs run.")] = None,
    deadline: Annotated[
        str | None, typer.Option(help="Give up what is not scored by then: 90s, 15m, 2h, 1d, or a time with its zone.")
    ] = None,
    passthrough: Annotated[
        str, typer.Option(help="Columns that come back beside the results, separated by commas.")
    ] = "",
    webhook: Annotated[str | None, typer.Option(help="URL that hears of the job's end.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key and the same rows give the same job, for a day.")
    ] = None,
    url: UrlOption = None,
) -> None:
    """Score every row of a file: submit it as a job, and with --wait see it through.

    Exit code 3: the job completed, and some rows could not be scored.
    """
    options: dict[str, Any] = {
        "version": version,
        "priority": priority and priority.value,
        "deadline": deadline,
        "passthrough": passthrough,
        "webhook": webhook,
        "idempotency_key": idempotency_key,
    }
    with connected(url) as client:
        if out not in (None, "-"):
            _check_target(Path(str(out)))
        job = _submit(client, file, type_, options)
        see_through(client, job, format, wait=wait, out=out, timeout=timeout)


def see_through(
    client: Client, job: Job, format: Format, *, wait: bool, out: str | None = None, timeout: float | None = None
) -> None:
    """Follow a job as far as was asked for, and end the command as it ended."""
    waited = wait or out is not None
    if waited:
        job = follow(client, job, timeout, None if out == "-" else out)
    if out == "-":
        client.save_results(job.id, sys.stdout.buffer)
    show(job, format, quiet=out == "-")
    _say_how_to_go_on(job, waited=waited, out=out)
    end_with(job, waited=waited)


def _check_target(out: Path) -> None:
    """Refuse before the work what could not be written after it."""
    if out.is_dir():
        fail(f"{out} is a directory: name a file", Exit.USAGE)
    result_type(out)
    if not out.suffix:
        why = f"-o names a file, and nothing in {out} tells its format; `--format json` prints the job as JSON"
        fail(why, Exit.USAGE)
    if not out.absolute().parent.is_dir():
        fail(f"there is no directory {out.parent}")


def follow(client: Client, job: Job, timeout: float | None = None, out: str | None = None) -> Job:
    """Wait for a job behind a progress bar on stderr; the results are in a file then, if one is named."""
    console = err()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task(job.state, total=job.rows.total or None)
            return client.wait(
                job.id,
                timeout=timeout,
                on_progress=lambda now: progress.update(
                    bar, description=now.state, completed=now.rows.done, total=now.rows.total
                ),
                on_outage=lambda why: progress.console.print(Text(outage(why)), soft_wrap=True),
                save_to=out,
            )
    except (KeyboardInterrupt, TimedOut) as stopped:
        why = "no longer waiting" if isinstance(stopped, KeyboardInterrupt) else str(stopped)
        fail(f"{why}: `tasador job show {job.id}` tells how far it is, `tasador job cancel {job.id}` ends it")
    except (TasadorError, OSError) as failed:  # a full disk, say: the work is done, or goes on
        if out is None:
            raise
        why = getattr(failed, "strerror", None) or str(failed)
        fail(f"{out} was not written, {why}: `tasador job results {job.id} --out FILE` fetches the results")


def show(job: Job, form: Format, *, quiet: bool = False) -> None:
    if quiet:
        return
    if form is Format.JSON:
        print_json(job.model_dump(mode="json"))
        return
    rows = f"{job.rows.done:,} of {job.rows.total:,}" + (f", {job.rows.failed:,} failed" if job.rows.failed else "")
    fields = {
        "job": job.id,
        "state": job.state,
        "rows": rows,
        "model": f"{job.model_name} {job.model_version}",
        "created": job.created_at,
        "finished": job.finished_at,
        "priority": job.priority if job.priority != "normal" else "",
        "deadline": job.deadline,
        "ignored": ", ".join(job.ignored_columns),
        "passed through": ", ".join(job.passthrough),
        "error": job.error,
    }
    print_fields({name: value for name, value in fields.items() if value})


def end_with(job: Job, *, waited: bool) -> None:
    """End the command with the code that tells what became of the job."""
    if not waited:
        return
    if job.state != "completed":
        raise typer.Exit(Exit.FAILED)
    if job.rows.failed:
        raise typer.Exit(Exit.FAILED if job.rows.failed == job.rows.total else Exit.PARTIAL)


def _submit(client: Client, file: str, type_: str | None, options: dict[str, Any]) -> Job:
    if "://" in file:
        return client.submit_reference(file, format=type_, **options)
    named = media_type(type_) if type_ else None
    if file != "-":
        return _submit_file(client, Path(file), named, options)
    with one_line(UnknownPipe, code=Exit.USAGE):
        piped = recognise(sys.stdin.buffer, named)
    return client.submit(
        piped.file, content_type=piped.content_type, content_encoding=piped.content_encoding, **options
    )


def _submit_file(client: Client, path: Path, named: str | None, options: dict[str, Any]) -> Job:
    try:
        return client.submit(path, content_type=named, **options)
    except UnknownFormat as unknown:
        fail(f"{unknown}; or say it with --type", Exit.USAGE)


def _say_how_to_go_on(job: Job, *, waited: bool, out: str | None) -> None:
    hints = {
        f"`tasador job show {job.id} --wait` follows it": not waited,
        f"`tasador job results {job.id} --out FILE` fetches the results": waited and out is None,
        f"`tasador job results {job.id} --errors` tells what is wrong with the rows that failed": job.rows.failed > 0,
    }
    for hint, helps in hints.items():
        if helps:
            err().print(Text(hint, "dim"), soft_wrap=True)
