"""`predict`: one row, or a few."""

import sys
from typing import Annotated

import typer

from tasador.cli.connect import UrlOption, connected
from tasador.cli.output import Exit, Format, FormatOption, err, fail, one_line, print_fields, print_json, print_rows
from tasador.cli.rows import NotARow, Typed, read_json, read_pairs
from tasador.client import BatchPrediction, Client, Prediction


def add_to(app: typer.Typer) -> None:
    app.command()(predict)


def predict(
    row: Annotated[list[str], typer.Argument(help="NAME=VALUE pairs, a JSON object or list, or - for JSON on stdin.")],
    output: FormatOption = Format.TABLE,
    url: UrlOption = None,
) -> None:
    """Predict one row, or a few: a JSON list, or one object a line.

    Exit code 3: some rows could not be predicted.
    """
    with connected(url) as client, one_line(NotARow, code=Exit.USAGE):
        typed = _read(client, row)
        if typed.single:
            _show_one(client.predict(typed.rows[0]), output)
        else:
            _show_many(client.predict_batch(typed.rows), output)


def _read(client: Client, words: list[str]) -> Typed:
    if words == ["-"]:
        return read_json(sys.stdin.read())
    if len(words) == 1 and words[0].lstrip().startswith(("{", "[")):
        return read_json(words[0])
    kinds = {feature["name"]: feature["kind"] for feature in client.model_info().signature["features"]}
    return Typed([read_pairs(words, kinds)], single=True)


def _show_one(found: Prediction, output: Format) -> None:
    if output is Format.JSON:
        print_json(found.model_dump(mode="json"))
        return
    print_fields(
        {
            "prediction": found.prediction,
            "model": f"{found.model_name} {found.model_version}",
            "engine": f"{found.inference_time * 1e6:.0f} µs",
        }
    )
    for warned in found.warnings:
        err().print(f"warning: {warned.field}: {warned.detail}", style="yellow", markup=False, soft_wrap=True)


def _show_many(found: BatchPrediction, output: Format) -> None:
    if output is Format.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        why = {error.index: f"{error.field} {error.detail}".strip() for error in reversed(found.errors)}
        print_rows(
            [
                {"index": index, "prediction": value, "error": why.get(index)}
                for index, value in enumerate(found.predictions)
            ],
            ["index", "prediction", "error"],
            "No rows.",
        )
    failed = sum(value is None for value in found.predictions)
    if failed == found.count:
        fail("no row could be predicted")
    if failed:
        raise typer.Exit(Exit.PARTIAL)
