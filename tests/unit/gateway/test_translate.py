"""Rows of one version for another: the same numbers, or an error that says why not."""

import numpy as np
import pytest

from services.gateway.dead_letters.translate import encode_alike, translate
from shared.signature import Feature, FieldError, Signature, Target


def a_number(name: str, **fields: object) -> Feature:
    return Feature.model_validate({"name": name, "kind": "numeric", "nullable": True} | fields)


def a_category(name: str, *categories: str, **fields: object) -> Feature:
    values = {"name": name, "kind": "categorical", "nullable": True, "categories": categories}
    return Feature.model_validate(values | fields)


def a_signature(*features: Feature) -> Signature:
    return Signature(target=Target(name="y"), features=features)


OLD = a_signature(a_number("size"), a_category("zone", "north", "south"))
ROWS = np.array([[1.0, 0.0], [np.nan, 1.0], [3.0, np.nan], [4.0, -1.0]])
BAD = FieldError("size", "not_a_number", "expected a number")


def test_versions_that_encode_alike_share_the_numbers() -> None:
    other = a_signature(a_number("size", minimum=0.0, maximum=9.0, example=3.0), a_category("zone", "north", "south"))
    assert encode_alike(OLD, other)
    assert translate(ROWS, [], OLD, other).x is ROWS


@pytest.mark.parametrize(
    "other",
    [
        a_signature(a_category("zone", "north", "south"), a_number("size")),
        a_signature(a_number("size"), a_category("zone", "south", "north")),
        a_signature(a_number("size", nullable=False), a_category("zone", "north", "south")),
        a_signature(a_number("size"), a_category("zone", "north", "south", accepts_unknown=False)),
    ],
)
def test_versions_that_encode_otherwise_do_not(other: Signature) -> None:
    assert not encode_alike(OLD, other)


def test_columns_and_codes_move_to_where_the_new_version_has_them() -> None:
    new = a_signature(a_category("zone", "south", "west", "north"), a_number("size"))
    block = translate(ROWS, [(1, BAD)], OLD, new)
    np.testing.assert_array_equal(block.x[[0, 2]], [[2.0, 1.0], [np.nan, 3.0]])
    assert [(row, error.field, error.code) for row, error in block.errors] == [
        (1, "size", "not_a_number"),
        (3, "zone", "unknown_category"),  # its text was not kept, so whether the new version knows it is not known
    ]


def test_what_the_new_version_does_not_need_does_not_stand_in_its_way() -> None:
    block = translate(ROWS, [], OLD, a_signature(a_number("size")))
    np.testing.assert_array_equal(block.x, ROWS[:, :1])
    assert block.errors == []


def test_what_the_new_version_needs_and_the_old_one_had_not_is_missing() -> None:
    block = translate(ROWS[:1], [], OLD, a_signature(a_number("age", nullable=False), a_number("size")))
    assert [(row, error.field, error.code) for row, error in block.errors] == [(0, "age", "missing")]
