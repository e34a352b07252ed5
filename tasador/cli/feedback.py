"""`feedback`: what really happened to rows that were predicted."""

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tasador.cli.connect import UrlOption, connected
from tasador.cli.output import Exit, Format, FormatOption, err, fail, one_line, outage, print_fields, print_json
from tasador.cli.piped import UnknownPipe, recognise
from tasador.client import Client, TasadorError
from tasador.client.formats import media_type


def add_to(app: typer.Typer) -> None:
    app.command()(feedback)


def feedback(  # noqa: PLR0917 - the options of a command
    file: Annotated[
        str | None,
        typer.Argument(help="CSV or NDJSON file with request_id, index, actual or job_id, row, actual; - reads stdin."),
    ] = None,
    request_id: Annotated[str | None, typer.Option(help="One value: of the prediction with this request id.")] = None,
    index: Annotated[int, typer.Option(min=0, help="Position of the row in that request.")] = 0,
    job: Annotated[str | None, typer.Option(help="One value: of a row of this job.")] = None,
    row: Annotated[int | None, typer.Option(min=0, help="Position of the row in that job.")] = None,
    actual: Annotated[float | None, typer.Option(help="The value that really came.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Format of the input when its name does not say: csv or ndjson.")
    ] = None,
    output: FormatOption = Format.TABLE,
    url: UrlOption = None,
) -> None:
    """Tell what really happened to rows that were predicted: one value, or a file of them.

    Sending values again does no harm; the last that is sent for a row counts.
    """
    with connected(url) as client:
        if file is None:
            accepted = client.feedback([_one(request_id, index, job, row, actual)])
        elif any(given is not None for given in (request_id, job, row, actual)):
            fail("name a file, or one value with --actual, not both", Exit.USAGE)
        else:
            accepted = _send(client, file, media_type(type_) if type_ else None)
    if output is Format.JSON:
        print_json({"accepted": accepted})
    else:
        print_fields({"accepted": f"{accepted:,}"})


def _one(request_id: str | None, index: int, job: str | None, row: int | None, actual: float | None) -> dict[str, Any]:
    if actual is None or not math.isfinite(actual) or (request_id is None) == (job is None):
        fail("name a file, or --request-id or --job with --row, and --actual with a number", Exit.USAGE)
    if (job is None) != (row is None):
        fail("--job and --row go together: a row of a request is named by --index", Exit.USAGE)
    if job is None:
        return {"request_id": request_id, "index": index, "actual": actual}
    return {"job_id": job, "row": row, "actual": actual}


def _send(client: Client, file: str, named: str | None) -> int:
    accepted = 0

    def progressed(now: int) -> None:
        nonlocal accepted
        accepted = now

    def waiting(why: TasadorError) -> None:
        err().print(outage(why), style="dim", markup=False, soft_wrap=True)

    try:
        if file != "-":
            return client.feedback(Path(file), content_type=named, on_progress=progressed, on_outage=waiting)
        with one_line(UnknownPipe, code=Exit.USAGE):
            piped = recognise(sys.stdin.buffer, named)
        if piped.content_encoding:
            fail(f"feedback is not read compressed: decompress it ({piped.content_encoding})", Exit.USAGE)
        return client.feedback(piped.file, content_type=piped.content_type, on_progress=progressed, on_outage=waiting)
    except TasadorError as failed:
        if not accepted:
            raise
        fail(f"{failed}\n{accepted:,} values were accepted before that; sending all of them again does no harm")
