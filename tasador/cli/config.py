"""`config show`: every setting, its value, and where it came from."""

from dataclasses import asdict

import typer

from shared.settings import SettingsInvalid
from tasador.cli.output import Format, FormatOption, err, one_line, print_json, print_rows
from tasador.sources import all_settings, settings_classes, unknown_variables

app = typer.Typer(name="config", help="Settings.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    root.add_typer(app)


@app.callback()
def config() -> None:
    """Settings: environment, or a file that it names > tasador.toml > running stack > default."""


@app.command()
def show(output: FormatOption = Format.TABLE) -> None:
    """Show every setting, its value and where it came from; passwords are masked. With -o json also what it does."""
    with one_line(SettingsInvalid):
        unknown = unknown_variables(settings_classes())
        for variable in unknown:
            err().print(f"warning: {variable} is no setting", style="yellow", markup=False)
        settings = [asdict(setting) for setting in all_settings()]
    if output is Format.JSON:
        print_json(settings)
    else:
        print_rows(settings, ["variable", "value", "source"], "No settings.")
