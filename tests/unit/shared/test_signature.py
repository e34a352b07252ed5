"""A row becomes numbers in one place; what it refuses and what it lets through is a contract with every client."""

import math

import pytest

from shared.signature import (
    UNKNOWN_CATEGORY,
    Feature,
    InvalidRow,
    RowEncoder,
    Signature,
    Target,
    unusual,
)


def a_signature() -> Signature:
    return Signature(
        target=Target(name="price", unit="EUR"),
        features=(
            Feature(name="area", kind="numeric", nullable=False, minimum=10, maximum=200, example=80),
            Feature(name="age", kind="numeric", nullable=True, minimum=0, maximum=100, example=12),
            Feature(name="town", kind="categorical", nullable=False, categories=("Kiel", "Ulm"), example="Ulm"),
        ),
    )


GOOD = {"area": 80, "age": 3.5, "town": "Ulm"}


def errors_of(row: dict[str, object], **options: bool) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRow) as refused:
        RowEncoder(a_signature(), **options).encode(row)
    return [(error.field, error.code) for error in refused.value.errors]


def test_numbers_keep_their_value_and_categories_become_their_position() -> None:
    assert RowEncoder(a_signature()).encode(GOOD) == [80.0, 3.5, 1.0]


def test_the_example_of_a_signature_is_a_row_it_accepts() -> None:
    signature = a_signature()
    assert RowEncoder(signature).encode(signature.example()) == [80.0, 12.0, 1.0]


@pytest.mark.parametrize("row", [{"area": 80, "town": "Ulm"}, GOOD | {"age": None}])
def test_a_nullable_field_may_be_absent_or_null(row: dict[str, object]) -> None:
    assert math.isnan(RowEncoder(a_signature()).encode(row)[1])


def test_an_unknown_category_is_encoded_as_such() -> None:
    assert RowEncoder(a_signature()).encode(GOOD | {"town": "Bonn"})[2] == UNKNOWN_CATEGORY


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"area": None}, "null"),
        ({"area": "80"}, "wrong_type"),
        ({"area": True}, "wrong_type"),
        ({"area": [80]}, "wrong_type"),
        ({"area": math.nan}, "not_finite"),
        ({"area": -math.inf}, "not_finite"),
        ({"area": 10**400}, "not_finite"),
        ({"area": 1e31}, "not_finite"),
    ],
)
def test_what_is_no_finite_number_is_refused(change: dict[str, object], code: str) -> None:
    assert errors_of(GOOD | change) == [("area", code)]


def test_every_bad_field_is_named() -> None:
    assert errors_of({"age": "old", "town": 7, "colour": "red"}) == [
        ("area", "missing"),
        ("age", "wrong_type"),
        ("town", "wrong_type"),
        ("colour", "unknown_field"),
    ]


def test_extra_fields_can_be_ignored() -> None:
    assert RowEncoder(a_signature(), ignore_extra=True).encode(GOOD | {"colour": "red"}) == [80.0, 3.5, 1.0]


def test_text_formats_parse_numbers_and_know_null_markers() -> None:
    encoder = RowEncoder(a_signature(), text=True)
    row = encoder.encode({"area": " 8e1 ", "age": "NA", "town": "Kiel"})
    assert row[0] == 80.0
    assert math.isnan(row[1])
    assert row[2] == 0.0


@pytest.mark.parametrize(
    ("text", "code"), [("eighty", "not_a_number"), ("8_0", "not_a_number"), ("nan", "not_finite"), ("", "null")]
)
def test_text_that_is_no_number_is_refused(text: str, code: str) -> None:
    assert errors_of({"area": text, "age": "1", "town": "Ulm"}, text=True) == [("area", code)]


def test_a_category_that_the_model_cannot_take_is_refused_by_name() -> None:
    town = Feature(name="town", kind="categorical", nullable=False, categories=("Ulm",), accepts_unknown=False)
    with pytest.raises(InvalidRow, match="Bonn"):
        RowEncoder(Signature(target=Target(name="y"), features=(town,))).encode({"town": "Bonn"})


def test_what_training_did_not_see_is_a_warning() -> None:
    found = unusual(a_signature(), [300.0, math.nan, UNKNOWN_CATEGORY])
    assert [(warning.field, warning.code) for warning in found] == [
        ("area", "out_of_range"),
        ("town", "unknown_category"),
    ]


def test_the_ends_of_the_training_range_are_inside() -> None:
    assert unusual(a_signature(), [10.0, 100.0, 0.0]) == []


def test_decoding_gives_back_what_was_meant() -> None:
    assert a_signature().decode([80.0, math.nan, 1.0]) == {"area": 80.0, "age": None, "town": "Ulm"}


def test_exactly_categorical_features_have_categories() -> None:
    with pytest.raises(ValueError, match="town"):
        Feature(name="town", kind="categorical", nullable=False)
