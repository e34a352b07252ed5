"""The schema of a row in OpenAPI, from the signature."""

from services.gateway.schemas import batch_schema, row_schema
from tests.unit.gateway.fakes import COLOUR, A, B, a_signature


def test_a_number_has_its_range_and_example() -> None:
    assert row_schema(a_signature(A))["properties"]["a"] == {
        "type": "number",
        "description": "0 to 10 in training; outside is scored with a warning.",
        "examples": [2.5],
    }


def test_a_nullable_feature_is_not_required() -> None:
    schema = row_schema(a_signature(A, B))
    assert schema["required"] == ["a"]
    assert schema["properties"]["b"]["anyOf"] == [{"type": "number"}, {"type": "null"}]


def test_categories_are_suggested_where_others_are_accepted() -> None:
    colour = row_schema(a_signature(COLOUR))["properties"]["colour"]
    assert colour["anyOf"] == [{"type": "string", "enum": ["blue", "red"]}, {"type": "string"}, {"type": "null"}]
    assert colour["description"].startswith("One of blue, red; any other is scored with a warning")


def test_categories_are_all_there_is_where_others_are_refused() -> None:
    strict = COLOUR.model_copy(update={"accepts_unknown": False, "nullable": False})
    colour = row_schema(a_signature(strict))["properties"]["colour"]
    assert colour["enum"] == ["blue", "red"]
    assert "no other is accepted" in colour["description"]


def test_hundreds_of_categories_do_not_fill_the_description() -> None:
    many = COLOUR.model_copy(update={"categories": tuple(f"c{i}" for i in range(250))})
    assert len(row_schema(a_signature(many))["properties"]["colour"]["description"]) < 500


def test_the_example_is_a_row_that_the_model_accepts() -> None:
    signature = a_signature()
    assert row_schema(signature)["example"] == {"a": 2.5, "b": 1.0, "colour": "red"}
    assert batch_schema(signature, 10)["example"] == {"instances": [signature.example()]}
