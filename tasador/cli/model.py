"""`model list|show|promote|rollback`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tasador.cli.connect import UrlOption, connected
from tasador.cli.operations import finish
from tasador.cli.output import Exit, Format, FormatOption, fail, out, print_fields, print_json, print_rows
from tasador.client import Client, ModelInfo, ModelList

app = typer.Typer(name="model", help="Versions: list, show, promote, roll back.", no_args_is_help=True)

_SHOWN = 8  # categories in a cell

Reason = Annotated[str | None, typer.Option("--reason", help="Kept in the history.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(app)


@app.command("list")
def list_(output: FormatOption = Format.TABLE, url: UrlOption = None) -> None:
    """List the versions, the newest first."""
    with connected(url) as client:
        models = client.models()
    if output is Format.JSON:
        print_json(models.model_dump(mode="json"))
        return
    print_rows(_versions(models), ["version", "state", "candidate", "rmse", "engine", "created"], "No versions yet.")


@app.command()
def show(
    version: Annotated[str | None, typer.Argument(help="Version; default the one that answers.")] = None,
    output: FormatOption = Format.TABLE,
    url: UrlOption = None,
) -> None:
    """Show what a version is and expects."""
    with connected(url) as client:
        info = client.model_info()
        if version and version != info.version:
            _show_other(client, version, output)
        elif output is Format.JSON:
            print_json(info.model_dump(mode="json"))
        else:
            _show_info(info)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="Version to put into service.")],
    reason: Reason = None,
    output: FormatOption = Format.TABLE,
    url: UrlOption = None,
) -> None:
    """Put a version into service everywhere, or nowhere."""
    with connected(url) as client:
        finish(client, client.promote(version, reason=reason), output)


@app.command()
def rollback(
    version: Annotated[str | None, typer.Argument(help="Version; default the one before.")] = None,
    reason: Reason = None,
    output: FormatOption = Format.TABLE,
    url: UrlOption = None,
) -> None:
    """Return to the version that served before, or to an earlier one."""
    with connected(url) as client:
        finish(client, client.rollback(version, reason=reason), output)


def _versions(models: ModelList) -> list[Any]:
    return [
        {
            "version": version.version,
            "state": version.state,
            "candidate": version.candidate,
            "rmse": (version.metrics or {}).get("test", {}).get("rmse"),
            "engine": version.engine,
            "created": f"{version.created_at:%Y-%m-%d %H:%M:%S}",
        }
        for version in models.versions
    ]


def _show_other(client: Client, version: str, output: Format) -> None:
    found = next((each for each in client.models().versions if each.version == version), None)
    if found is None:
        fail(f"there is no version {version}: `tasador model list` shows those there are", Exit.NOT_FOUND)
    if output is Format.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        print_fields(found.model_dump())


def _show_info(info: ModelInfo) -> None:
    engine = info.serving_engine or info.engine
    if info.engine_instead:
        engine = f"{engine}, not {info.engine}: {info.engine_instead}"
    print_fields({"model": info.name, "version": info.version, "epoch": info.epoch, "engine": engine})
    out().print()
    columns = ["name", "kind", "nullable", "in training", "example"]
    print_rows([_feature(each) for each in info.signature["features"]], columns, "No features.")


def _feature(feature: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the table: what training saw is a range of numbers, or the first of the categories."""
    known = feature.get("categories") or []
    if known:
        seen = ", ".join(known[:_SHOWN]) + (f", … ({len(known)})" if len(known) > _SHOWN else "")
    elif feature.get("minimum") is None:
        seen = ""
    else:
        seen = f"{feature['minimum']:g} to {feature['maximum']:g}"
    return {**feature, "in training": seen}
