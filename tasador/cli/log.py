"""`log delete`."""

from typing import Annotated

import typer

from tasador.cli.connect import MonitorUrlOption, monitoring
from tasador.cli.output import Format, FormatOption, print_fields, print_json

app = typer.Typer(name="log", help="The prediction log.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    root.add_typer(app)


@app.callback()
def log() -> None:
    """The prediction log: every single and batch prediction, in the store."""


@app.command()
def delete(
    request_id: Annotated[str, typer.Argument(help="As in the answer, and in X-Request-Id.")],
    output: FormatOption = Format.TABLE,
    url: MonitorUrlOption = None,
) -> None:
    """Delete all rows of a request from the prediction log, labelled ones too, for good."""
    with monitoring(url) as monitor:
        deleted = monitor.delete_logged(request_id)
    if output is Format.JSON:
        print_json(deleted.model_dump())
    else:
        print_fields({"rows": deleted.rows, "labelled rows": deleted.labelled_rows, "files": deleted.files})
