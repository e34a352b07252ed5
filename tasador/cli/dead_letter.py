"""`dead-letter list|show|drop|redrive`."""

from typing import Annotated

import typer

from tasador.cli import score
from tasador.cli.connect import UrlOption, connected
from tasador.cli.output import Exit, Format, FormatOption, err, fail, out, print_fields, print_json, print_rows
from tasador.client import DeadLetter, OpenedDeadLetter

app = typer.Typer(
    name="dead-letter", help="Rows that were given up: list, show, drop, score again.", no_args_is_help=True
)

LetterId = Annotated[str, typer.Argument(help="Id of the dead letter, <job>:<row>.")]
LetterIds = Annotated[list[str] | None, typer.Argument(help="Ids of dead letters, <job>:<row>.")]
JobOption = Annotated[str | None, typer.Option("--job", help="All of this job.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(app)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")] = 20,
    job: Annotated[str | None, typer.Option("--job", help="Only those of this job.")] = None,
    output: FormatOption = Format.TABLE,
    url: UrlOption = None,
) -> None:
    """List dead letters, the newest first."""
    with connected(url) as client:
        page = client.dead_letters(limit=limit, job=job)
    if output is Format.JSON:
        print_json([letter.model_dump(mode="json") for letter in page.dead_letters])
        return
    columns = ["dead letter", "rows", "deaths", "at", "reason"]
    print_rows([_row(letter) for letter in page.dead_letters], columns, "No dead letters.")
    if page.next_cursor:
        err().print("There are more: --limit shows up to 200, --job those of one job.", style="dim")


@app.command()
def show(letter_id: LetterId, output: FormatOption = Format.TABLE, url: UrlOption = None) -> None:
    """Show a dead letter, with the values that died."""
    with connected(url) as client:
        letter = client.dead_letter(letter_id)
    if output is Format.JSON:
        print_json(letter.model_dump(mode="json"))
        return
    model = f"{letter.model_name} {letter.model_version}" if letter.model_version else None
    about = {**_row(letter), "job": letter.job, "row": letter.row, "model": model}
    print_fields({name: value for name, value in about.items() if value is not None})
    out().print()
    _show_rows(letter)


@app.command()
def drop(
    letter_ids: LetterIds = None, job: JobOption = None, output: FormatOption = Format.TABLE, url: UrlOption = None
) -> None:
    """Take dead letters off the list; in the results of their jobs the rows stay errors."""
    _exactly_one(bool(letter_ids), job is not None, choices="ids or --job")
    with connected(url) as client:
        if job is not None:
            dropped = client.drop_dead_letters(job)
        else:
            for letter_id in letter_ids or ():
                client.drop_dead_letter(letter_id)
            dropped = len(letter_ids or ())
    if output is Format.JSON:
        print_json({"dropped": dropped})
    else:
        out().print(f"Dropped {dropped}.")


@app.command()
def redrive(  # noqa: PLR0917 - the options of a command
    letter_ids: LetterIds = None,
    job: JobOption = None,
    all_: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    version: score.VersionOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, with progress.")] = False,
    output: FormatOption = Format.TABLE,
    url: UrlOption = None,
) -> None:
    """Score the rows of dead letters once more, as a new job; its results say where each row comes from.

    Exit code 3: the job completed, and some rows could not be scored.
    """
    _exactly_one(bool(letter_ids), job is not None, all_, choices="ids, --job or --all")
    with connected(url) as client:
        found = client.redrive(letter_ids or (), job=job, all=all_, version=version)
        score.see_through(client, found, output, wait=wait)


def _exactly_one(*given: bool, choices: str) -> None:
    if sum(given) != 1:
        fail(f"name {choices}, and only one of these", Exit.USAGE)


def _row(letter: DeadLetter) -> dict[str, object]:
    return {
        "dead letter": letter.id,
        "rows": letter.rows,
        "deaths": letter.deaths,
        "at": letter.at,
        "reason": letter.reason,
    }


def _show_rows(letter: OpenedDeadLetter) -> None:
    if letter.instances is None:
        err().print(letter.detail, markup=False, soft_wrap=True)
        return
    rows = [{"row": letter.row + index, **(values or {})} for index, values in enumerate(letter.instances)]
    names = list(dict.fromkeys(name for values in letter.instances if values for name in values))
    if len(rows) == 1 and letter.instances[0]:
        notes = {warned.field: warned.detail for warned in letter.warnings}
        values = letter.instances[0].items()
        features = [{"feature": name, "value": value, "note": notes.get(name, "")} for name, value in values]
        print_rows(features, ["feature", "value", "note"], "")
    else:
        print_rows(rows, ["row", *names], "")
    if letter.rows > len(rows):
        err().print(f"The first {len(rows)} of {letter.rows} rows.", style="dim")
