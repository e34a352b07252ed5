"""`train`: through the running stack, or by itself."""

import typer

from shared.settings import SettingsInvalid
from tasador.cli.connect import UrlOption, connected
from tasador.cli.operations import finish
from tasador.cli.output import Format, FormatOption, err, one_line
from tasador.settings import StackSettings
from tasador.stack import control
from tasador.stack.refused import Refused


def add_to(app: typer.Typer) -> None:
    app.command()(train)


def train(output: FormatOption = Format.TABLE, url: UrlOption = None) -> None:
    """Train a version now, and promote it if it may go into service by itself."""
    with one_line(SettingsInvalid, Refused):
        settings = StackSettings.load()
        if not url and not settings.client_url and not control.running(settings.state_dir):
            from tasador.stack import train_once  # noqa: PLC0415 - slow to import

            err().print("No stack runs: training here, in the foreground.")
            raise typer.Exit(train_once.train(settings, err()))
    with connected(url) as client:
        finish(client, client.retrain(reason="asked for with `tasador train`"), output)
