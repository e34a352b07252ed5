"""OpenAPI of the version in service: rebuilt when that changes, served with assets of our own."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway import schemas
from services.gateway.predict import Follows
from shared.follower import Serving

_REFERENCE = "#/components/schemas/"


def follow_champion(app: FastAPI, follower: Follows, max_batch_rows: int) -> Callable[[], dict[str, Any]]:
    """Return what to put in the place of `app.openapi`."""
    cached: tuple[str | None, dict[str, Any]] | None = None

    def openapi() -> dict[str, Any]:
        nonlocal cached
        serving = follower.current
        version = serving.model.version if serving else None
        if cached is None or cached[0] != version:
            cached = version, _document(app, serving, max_batch_rows)
        return cached[1]

    return openapi


def _document(app: FastAPI, serving: Serving | None, max_batch_rows: int) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_description(serving),
        routes=app.routes,
        tags=app.openapi_tags,
    )
    components = document.setdefault("components", {}).setdefault("schemas", {})
    _replace_framework_errors(document, components)
    components["Row"] = schemas.row_schema(serving.model.signature) if serving else schemas.NO_MODEL
    if serving:
        components["Rows"] = schemas.batch_schema(serving.model.signature, max_batch_rows)
    else:
        components["Rows"] = {"type": "object", "title": "Rows"}
    for model in (schemas.ProblemDocument, schemas.ProblemError):
        schema = model.model_json_schema(ref_template=_REFERENCE + "{model}")
        schema.pop("$defs", None)
        components["Problem" if model is schemas.ProblemDocument else "ProblemError"] = schema
    return document


def _description(serving: Serving | None) -> str:
    if serving is None:
        return "No version is in service yet."
    target = serving.model.signature.target
    unit = f" in {target.unit}" if target.unit else ""
    return (
        f"Predicts **{target.name}**{unit} with version {serving.model.version} of `{serving.model.name}`. "
        "Whatever cannot be done is answered as `application/problem+json`; see `/problems`."
    )


def _replace_framework_errors(document: dict[str, Any], components: dict[str, Any]) -> None:
    """The framework promises its own shape of a 422; ours is what comes."""
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    problem = {"application/problem+json": {"schema": {"$ref": _REFERENCE + "Problem"}}}
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            found = operation.get("responses", {}).get("422")
            if found and "HTTPValidationError" in str(found):
                operation["responses"]["422"] = {"description": "A parameter is not valid", "content": problem}
