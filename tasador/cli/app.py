"""All commands, put together."""

import typer

from tasador.cli import (
    config,
    dead_letter,
    doctor,
    drift,
    feedback,
    job,
    log,
    model,
    predict,
    score,
    stack,
    torture,
    train,
)

app = typer.Typer(
    name="tasador",
    help="Train, serve, score, watch and reload a tabular model.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (
    stack,
    train,
    predict,
    score,
    job,
    dead_letter,
    feedback,
    drift,
    log,
    model,
    config,
    doctor,
    torture,
):
    commands.add_to(app)


def main() -> None:
    """Run the command line."""
    app()
