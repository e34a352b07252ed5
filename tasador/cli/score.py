"""`score`: a file of any size, as a job."""

import sys
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from tasador.cli.connect import UrlOption, connected
from tasador.cli.output import Exit, Format, err, fail, print_fields, print_json
from tasador.client import Client, Job, TimedOut
from tasador.client.formats import media_type


def add_to(app: typer.Typer) -> None:
    app.command()(score)


def score(  # noqa: PLR0917 - the options of a command
    file: Annotated[str, typer.Argument(help="CSV, NDJSON, JSON, Parquet or Arrow file; - reads stdin.")],
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
    url: UrlOption = None,
) -> None:
    """Score every row of a file: submit it as a job, and with --wait see it through.

    Exit code 3: the job completed, and some rows could not be scored.
    """
    with connected(url) as client:
        if out not in (None, "-"):
            _check_target(Path(str(out)))
        job = _submit(client, file, type_)
        if wait or out:
            job = follow(client, job, timeout)
        if out:
            _save(client, job, out)
        show(job, format, quiet=out == "-")
        _say_how_to_go_on(job, waited=bool(wait or out), out=out)
        end_with(job, waited=bool(wait or out))


def _check_target(out: Path) -> None:
    """Refuse before the work what could not be written after it."""
    media_type(out)
    if not out.suffix:
        why = f"-o names a file, and nothing in {out} tells its format; `--format json` prints the job as JSON"
        fail(why, Exit.USAGE)
    if not out.absolute().parent.is_dir():
        fail(f"there is no directory {out.parent}")


def follow(client: Client, job: Job, timeout: float | None = None) -> Job:
    """Wait for a job behind a progress bar on stderr."""
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
            )
    except (KeyboardInterrupt, TimedOut) as stopped:
        why = "no longer waiting" if isinstance(stopped, KeyboardInterrupt) else str(stopped)
        fail(f"{why}: `tasador job show {job.id}` tells how far it is, `tasador job cancel {job.id}` ends it")


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
        "ignored": ", ".join(job.ignored_columns),
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


def _submit(client: Client, file: str, type_: str | None) -> Job:
    named = media_type(type_) if type_ else None
    if file != "-":
        return client.submit(Path(file), content_type=named)
    stdin: IO[bytes] = sys.stdin.buffer
    if named is None:
        named = guess(stdin.peek(64) if hasattr(stdin, "peek") else b"")
    return client.submit(stdin, content_type=named)


def guess(beginning: bytes) -> str:
    """Return the media type that the first bytes of a table speak for."""
    if beginning.startswith(b"PAR1"):
        return media_type("parquet")
    if beginning.startswith(b"ARROW1"):
        return media_type("arrow")
    if beginning.startswith(b"\xff\xff\xff\xff"):
        return media_type("arrows")
    text = beginning.lstrip()
    if text.startswith(b"{") and not text.startswith((b'{"instances"', b"{\n", b"{\r")):
        return media_type("ndjson")
    return media_type("json") if text.startswith((b"{", b"[")) else media_type("csv")


def _save(client: Client, job: Job, out: str) -> None:
    if out == "-":
        client.save_results(job.id, sys.stdout.buffer)
    else:
        client.save_results(job.id, out)


def _say_how_to_go_on(job: Job, *, waited: bool, out: str | None) -> None:
    hint = None
    if not waited:
        hint = f"`tasador job show {job.id} --wait` follows it"
    elif out is None:
        hint = f"`tasador job results {job.id} --out FILE` fetches the results"
    if hint:
        err().print(Text(hint, "dim"), soft_wrap=True)
