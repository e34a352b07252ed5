"""JSON schemas of a row, from the champion's signature, and of the bodies around it, for OpenAPI."""

from typing import Any

from pydantic import BaseModel, Field

from shared.signature import Feature, Signature

Schema = dict[str, Any]

NO_MODEL: Schema = {
    "type": "object",
    "title": "Row",
    "description": "No version is in service yet; once one is, this describes its features.",
}
MOST_LISTED = 50  # categories in a description


class WarningItem(BaseModel):
    field: str
    code: str = Field(examples=["out_of_range"])
    detail: str


class PredictionResponse(BaseModel):
    prediction: float
    model_name: str
    model_version: str
    inference_time: float = Field(description="Engine time, seconds.")
    request_id: str
    warnings: list[WarningItem] = Field(description="Values that training did not see; they are scored all the same.")


class RowErrorItem(BaseModel):
    index: int = Field(description="Position of the row in `instances`.")
    field: str = Field(description='"" is the row as a whole.')
    code: str
    detail: str


class BatchResponse(BaseModel):
    predictions: list[float | None] = Field(description="One per row, in order; null where `errors` has the row.")
    errors: list[RowErrorItem] = Field(description="At least the first error of every bad row; up to 1,000 in all.")
    count: int
    model_name: str
    model_version: str
    inference_time: float = Field(description="Engine time of all rows, seconds.")
    request_id: str


class ProblemError(BaseModel):
    pointer: str = Field(
        description='JSON pointer into the body; "" is the body as a whole.', examples=["/instances/3"]
    )
    code: str = Field(examples=["missing"])
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = Field(description="Stable; a page that says what to do.", examples=["/problems/invalid-row"])
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ProblemError]


def row_schema(signature: Signature) -> Schema:
    """Return the schema of one row. What it refuses, the gateway refuses; ranges and categories are advice only."""
    return {
        "type": "object",
        "title": "Row",
        "description": f"The {len(signature.features)} features of the model in service. Unknown fields are refused.",
        "properties": {feature.name: _feature_schema(feature) for feature in signature.features},
        "required": [feature.name for feature in signature.features if not feature.nullable],
        "additionalProperties": False,
        "example": signature.example(),
    }


def batch_schema(signature: Signature, max_rows: int) -> Schema:
    return {
        "type": "object",
        "title": "Rows",
        "properties": {
            "instances": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Row"},
                "minItems": 1,
                "maxItems": max_rows,
            }
        },
        "required": ["instances"],
        "additionalProperties": False,
        "example": {"instances": [signature.example()]},
    }


def _feature_schema(feature: Feature) -> Schema:
    kinds = _kinds(feature)
    schema: Schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    examples = {} if feature.example is None else {"examples": [feature.example]}
    return schema | {"description": _description(feature)} | examples


def _kinds(feature: Feature) -> list[Schema]:
    """Known categories are a suggestion where others are accepted: editors offer them, validators take any text."""
    null: list[Schema] = [{"type": "null"}] if feature.nullable else []
    if feature.kind == "numeric":
        return [{"type": "number"}, *null]
    others: list[Schema] = [{"type": "string"}] if feature.accepts_unknown else []
    return [{"type": "string", "enum": list(feature.categories)}, *others, *null]


def _description(feature: Feature) -> str:
    nulls = "; may be null or absent" if feature.nullable else ""
    if feature.kind == "categorical":
        listed = ", ".join(feature.categories[:MOST_LISTED]) + (", …" if len(feature.categories) > MOST_LISTED else "")
        rule = "any other is scored with a warning" if feature.accepts_unknown else "no other is accepted"
        return f"One of {listed}; {rule}{nulls}."
    if feature.minimum is None or feature.maximum is None:
        return f"A finite number{nulls}."
    return f"{feature.minimum:g} to {feature.maximum:g} in training; outside is scored with a warning{nulls}."
