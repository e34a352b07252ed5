"""`torture`: break the running stack on purpose, and check what it promised."""

import random
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from shared.settings import SettingsInvalid
from tasador.cli.output import Exit, Format, FormatOption, err, fail, one_line, out, print_json
from tasador.client import TasadorError
from tasador.settings import StackSettings
from tasador.stack.refused import Refused
from tasador.torture.order import Limits, Order
from tasador.torture.schedule import KINDS, Kind

CHOICES = tuple(kind for kind in KINDS if kind != "flush")
USUAL = "kill,pause,redis,slow"


def add_to(app: typer.Typer) -> None:
    app.command()(torture)


def torture(  # noqa: PLR0917 - the options of a command
    minutes: Annotated[float, typer.Option(min=0.1, max=240, help="For how long.")] = 2.0,
    faults: Annotated[str, typer.Option(help=f"What to do, of {', '.join(CHOICES)}.")] = USUAL,
    flush: Annotated[
        bool, typer.Option("--flush", help="Make Redis lose everything, too: the monitor's figures are gone for good.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds from one fault to the next, on average.")] = 5.0,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="How many jobs to keep running.")] = 4,
    rows: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most rows of a job.")] = 100_000,
    seed: Annotated[int | None, typer.Option(min=0, help="Repeats what an earlier run did; default a new one.")] = None,
    history: Annotated[
        Path | None, typer.Option(help="Write everything that was seen to this file, a JSON object a line.")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Kill and pause processes of the running local stack while it works, and check that it keeps its promises.

    Exit code 1: a promise was broken.
    """
    seed = random.randrange(10**6) if seed is None else seed
    order = Order(minutes * 60, seed, _kinds(faults, flush), every, Limits(jobs, rows))
    with one_line(SettingsInvalid, Refused, TasadorError):
        found = _run(order, history)
    if output is Format.JSON:
        print_json(found)
    else:
        _show(found)
    if not found["held"]:
        raise typer.Exit(Exit.FAILED)


def _kinds(faults: str, flush: bool) -> list[Kind]:
    named = {name.strip() for name in faults.split(",")}
    if "flush" in named:
        fail("`flush` makes the monitor lose its figures: ask for it with --flush", Exit.USAGE)
    if unknown := named - set(CHOICES):
        fail(f"{', '.join(sorted(unknown))}: no such fault; there are {', '.join(CHOICES)}", Exit.USAGE)
    return [kind for kind in KINDS if kind in named or (flush and kind == "flush")]


def _run(order: Order, write_to: Path | None) -> dict[str, Any]:
    # These take half a second, which no other command needs.
    from tasador.torture.history import Fault, History  # noqa: PLC0415
    from tasador.torture.report import report  # noqa: PLC0415
    from tasador.torture.run import torture  # noqa: PLC0415
    from tasador.torture.target import LocalStack  # noqa: PLC0415

    def tell(fault: Fault) -> None:
        done = fault.target or f"not done: {fault.skipped}"
        err().print(Text(f"{fault.at:7.1f} s  {fault.kind:<7} {done}"), soft_wrap=True)

    stack = LocalStack.running(StackSettings.load().state_dir)
    seen = History()
    try:
        torture(stack, order, seen, tell)
    except KeyboardInterrupt:
        fail("stopped half-way; nobody is left paused, and accepted jobs go on")
    finally:
        if write_to is not None:
            seen.write(write_to)
    return report(seen, order.seed)


def _show(found: dict[str, Any]) -> None:
    from tasador.torture.report import lines, promises_table  # noqa: PLC0415

    for line in lines(found):
        out().print(Text(line), soft_wrap=True)
    out().print()
    out().print(promises_table(found))
    out().print()
    if found["held"]:
        out().print("Every promise held.")
    else:
        out().print(Text("A promise was broken.", "bold red"))
