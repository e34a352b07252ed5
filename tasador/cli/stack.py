"""`up`, `down`, `status`: the local stack."""

import os
import sys
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import typer

from shared.settings import PREFIX, SettingsInvalid
from shared.variables import FROM_FILE
from tasador.cli.output import Exit, Format, FormatOption, fail, one_line, out, print_json
from tasador.settings import StackSettings
from tasador.sources import masked, settings_classes, unknown_variables
from tasador.stack import control
from tasador.stack.refused import Refused
from tasador.stack.state import StackState
from tasador.stack.view import addresses, table


def add_to(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    scorers: Annotated[int | None, typer.Option(min=1, max=64, help="How many scorers.")] = None,
    gateway_workers: Annotated[int | None, typer.Option(min=1, max=64, help="How many gateways, on one port.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all is ready.")] = False,
    reload: Annotated[bool, typer.Option(help="Restart a service when its code changes.")] = False,
) -> None:
    """Start everything, and stay in the foreground until Ctrl-C."""
    _take_out_of_the_command_line({"scorers": scorers, "gateway-workers": gateway_workers})
    with one_line(SettingsInvalid, Refused):
        settings = StackSettings.load()
        if unknown := unknown_variables(settings_classes()):
            fail(f"{', '.join(unknown)}: no such setting; `tasador config show` lists them all", Exit.USAGE)
        if detach:
            _show(control.start_detached(settings, reload=reload))
            return
        from tasador.stack import launch  # noqa: PLC0415 - takes a third of a second, which only `up` needs

        raise typer.Exit(launch.up(settings, out(), watch_code=reload))


def down() -> None:
    """End the stack that runs, from elsewhere."""
    with one_line(SettingsInvalid, Refused):
        ended = control.down(StackSettings.load().state_dir)
    out().print(ended)


def status(output: FormatOption = Format.TABLE) -> None:
    """Show the processes and addresses; exit code 1 when nothing runs."""
    with one_line(SettingsInvalid):
        state = control.running(StackSettings.load().state_dir)
    if output is Format.JSON:
        print_json(_as_json(state))
    elif state:
        _show(state)
    if not state:
        fail("nothing runs here: `tasador up` starts it", Exit.FAILED)


def _take_out_of_the_command_line(counts: Mapping[str, int | None]) -> None:
    """Start over with the numbers in the environment.

    Who looks for scorers or gateways by their command line must not find, and end, the launcher.
    """
    given = {f"{PREFIX}{name.upper().replace('-', '_')}": count for name, count in counts.items() if count is not None}
    if given:
        os.environ |= {name: str(count) for name, count in given.items()} | {name + FROM_FILE: "" for name in given}
        rest = without(counts, sys.argv[1:])
        os.execv(sys.executable, [sys.executable, "-m", "tasador", *rest])


def without(options: Collection[str], arguments: list[str]) -> list[str]:
    """Return the arguments without some options and their values."""
    rest, skip = [], False
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        if skip:
            skip = False
        elif argument.startswith("--") and name in options:
            skip = not value
        else:
            rest.append(argument)
    return rest


def _show(state: StackState) -> None:
    out().print(table(state.processes))
    for line in addresses(state):
        out().print(line, soft_wrap=True)


def _as_json(state: StackState | None) -> dict[str, Any]:
    if not state:
        return {"running": False, "ready": False, "processes": []}
    addresses = {name: masked(getattr(state, name)) for name in ("redis_url", "store_url", "mlflow_uri")}
    return {"running": True, **state.model_dump(exclude={"created"}), **addresses}
