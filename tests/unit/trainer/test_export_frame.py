"""Tables to the graph's matrix and back."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.export import ExportRefused, decode_rows, encode_frame
from shared.signature import Feature, RowEncoder, Signature, Target


@dataclass(frozen=True)
class Layout:
    inputs: tuple[str, ...] = ("size", "place")
    categories: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"place": ("east", "west")})


def a_frame(size: object, place: object) -> pd.DataFrame:
    return pd.DataFrame({"place": place, "unused": "x", "size": size})


def test_a_row_is_its_numbers_and_its_codes_in_the_order_of_the_inputs() -> None:
    frame = a_frame([1.5, None, 3.0, 4.0], ["west", "east", None, "nowhere"])

    assert encode_frame(frame, Layout()).tolist() == pytest.approx(
        np.array([[1.5, 1], [np.nan, 0], [3, np.nan], [4, -1]]), nan_ok=True
    )


@pytest.mark.parametrize(
    "size",
    [
        pd.Series([1, 2], dtype="int32"),
        pd.Series([1, 2], dtype="Int64"),
        pd.Series([1, 2], dtype="uint8"),
        pd.Series([1.0, 2.0], dtype="Float64"),
    ],
)
def test_all_kinds_of_numbers_become_float64(size: "pd.Series[float]") -> None:
    assert encode_frame(a_frame(size, ["east", "east"]), Layout())[:, 0].tolist() == [1.0, 2.0]


def test_nullable_numbers_keep_their_nulls() -> None:
    frame = a_frame(pd.Series([1, None], dtype="Int64"), ["east", "east"])

    assert np.isnan(encode_frame(frame, Layout())[:, 0]).tolist() == [False, True]


@pytest.mark.parametrize("place", [pd.Series(["west", None], dtype=t) for t in ("str", "object", "category", "string")])
def test_all_kinds_of_text_become_codes(place: "pd.Series[str]") -> None:
    codes = encode_frame(a_frame([1.0, 2.0], place), Layout())[:, 1]

    assert codes[0] == 1
    assert np.isnan(codes[1])


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (pd.Series([1.0], dtype="float32"), "float32"),
        (pd.Series(["1"], dtype="str"), "not numbers"),
        (pd.Series([1.0], dtype=object), "convert it to float64"),
        (pd.Series([1 + 2j]), "complex"),
        (pd.Series([2**53 + 1]), "2\\*\\*53"),
        (pd.Series([-(2**53) - 1]), "2\\*\\*53"),
        (pd.Series([1.0], dtype=pd.SparseDtype("float64")), "Sparse"),
        (pd.Series([np.inf]), "infinite"),
    ],
)
def test_numbers_that_float64_cannot_hold_exactly_are_refused(size: "pd.Series[float]", says: str) -> None:
    with pytest.raises(ExportRefused, match=f"(?s)'size'.*{says}"):
        encode_frame(a_frame(size, ["east"]), Layout())


def test_a_category_that_is_not_text_is_refused() -> None:
    with pytest.raises(ExportRefused, match="'place' is categorical but holds more than text"):
        encode_frame(a_frame([1.0], [7]), Layout())


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ExportRefused, match="the table lacks place"):
        encode_frame(pd.DataFrame({"size": [1.0]}), Layout())


values = st.tuples(st.floats(allow_infinity=False), st.sampled_from([0.0, 1.0, -1.0, np.nan]))


@given(st.lists(values, min_size=1, max_size=20), st.sampled_from(["str", "object"]))
def test_a_decoded_matrix_encodes_to_itself(rows: list[tuple[float, float]], dtype: str) -> None:
    matrix = np.array(rows)
    like = a_frame([1.0], pd.Series([None], dtype=dtype))

    again = encode_frame(decode_rows(matrix, Layout(), like), Layout())

    assert np.array_equal(again, matrix, equal_nan=True)


@pytest.mark.parametrize("dtype", ["object", "str"])
def test_a_decoded_null_is_the_null_of_the_data(dtype: str) -> None:
    like = a_frame([1.0, 2.0], pd.Series(["east", None], dtype=dtype))

    (null,) = decode_rows(np.array([[1.0, np.nan]]), Layout(), like)["place"].tolist()

    assert (null is None) == (dtype == "object")


@given(st.floats(-1e30, 1e30), st.sampled_from(["east", "west", "nowhere", None]))
def test_training_and_serving_encode_alike(size: float, place: str | None) -> None:
    serving = RowEncoder(
        Signature(
            target=Target(name="y"),
            features=(
                Feature(name="size", kind="numeric", nullable=True),
                Feature(name="place", kind="categorical", nullable=True, categories=("east", "west")),
            ),
        )
    )
    served = serving.encode({"size": size, "place": place})

    assert np.array_equal(
        encode_frame(a_frame([size], pd.Series([place], dtype="str")), Layout()), [served], equal_nan=True
    )
