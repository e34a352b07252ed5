"""What C reads of CSV, and what it leaves to Python. That both agree is in test_tables_agree.py."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.tables.plain import MOST_ODD, PlainReader, PlainRows
from shared.signature import MAX_MAGNITUDE, Feature, Signature, Target
from tests.kernels import compiled, needs_compiler

pytestmark = needs_compiler

SIGNATURE = Signature(
    target=Target(name="y"),
    features=(
        Feature(name="kind", kind="categorical", nullable=True, categories=("a", "ü", "c d", " NA")),
        Feature(name="size", kind="numeric", nullable=False),
        Feature(name="age", kind="numeric", nullable=True),
    ),
)
NUMBERS = st.one_of(
    st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE, allow_subnormal=False).map(repr),
    st.decimals(-(10**18), 10**18, places=9).map("{:f}".format),
    st.tuples(st.integers(0, 10**19 - 1), st.integers(-300, 11)).map("{0[0]}e{0[1]}".format),
)


def a_read(*records: str, names: Sequence[str] = ("size", "note", "kind"), end: str = "\n") -> PlainRows:
    found = PlainReader(compiled(), names, SIGNATURE).read(end.join(records).encode())
    assert found is not None
    return found


def odd_rows(found: PlainRows) -> list[int]:
    return [row for row, _, _ in found.odd]


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_numbers_are_what_python_makes_of_them(numbers: list[str]) -> None:
    found = a_read(*(f"{number},,a" for number in numbers))

    expected = [math.nan if row in odd_rows(found) else float(number) for row, number in enumerate(numbers)]
    np.testing.assert_array_equal(found.x[:, 1].view(np.uint64), np.array(expected).view(np.uint64))
    long = [sum(map(str.isdigit, number.lower().split("e")[0].lstrip("-0."))) > 19 for number in numbers]
    small = [0 < abs(float(number)) < 1e-280 for number in numbers]
    assert all(long[row] or small[row] for row in odd_rows(found)), numbers  # no other one is left to others


def half_ways() -> Iterator[str]:
    """Numbers half way between two doubles, which go to the even one: odd multiples of 5^q, doubled, times 10^q."""
    for power in range(14):
        least = -(-(2**53) // 5**power) | 1
        for odd in range(least, least + 40, 2):
            if odd * 5**power < 2**54:  # below which odd numbers are half way
                doubled = [odd << twice for twice in range(64) if 2**53 < odd << twice < 10**17]
                yield from (f"{number}e{power}" for number in doubled)
                yield from (f"{number}00e-2" for number in doubled if number < 10**17)


def test_every_last_bit_is_that_of_python() -> None:
    rng = np.random.default_rng(0)
    long = zip(rng.integers(10**16, 9 * 10**18, 20_000).tolist(), rng.integers(-60, 12, 20_000).tolist(), strict=True)
    numbers = [*half_ways(), *(f"{digits}e{power}" for digits, power in long)]

    found = a_read(*(f"{number},,a" for number in numbers))

    assert not found.odd
    expected = np.array([float(number) for number in numbers])
    np.testing.assert_array_equal(found.x[:, 1].view(np.uint64), expected.view(np.uint64))


@pytest.mark.parametrize(
    "number", ["1", "-2.5", "+5", ".5", "5.", "1e3", "1E-7", " 4\t", "0" * 30 + "7", "-0", "1e-290"]
)
def test_whatever_is_plainly_a_number_is_read(number: str) -> None:
    found = a_read(f"{number},,a")

    assert not found.odd
    assert math.copysign(1, found.x[0, 1]) == math.copysign(1, float(number))
    assert found.x[0, 1] == float(number)


@pytest.mark.parametrize(
    "number", ["", "NA", ".", "-", "1e", "e5", "1_0", "0x1", "1.2.3", "1 2", "nan", "inf", "1e31", "1e-400", "9" * 20]
)
def test_whatever_may_be_something_else_is_left_to_python(number: str) -> None:
    found = a_read("1,,a", f"{number},,a", "2,,a")

    assert odd_rows(found) == [1]
    assert np.isnan(found.x[1]).all()
    assert found.x[:, 1][[0, 2]].tolist() == [1, 2]


def test_categories_are_codes_and_absent_columns_null() -> None:
    found = a_read("1,,a", "1,,ü", "1,,c d", "1,,", "1,,NA", "1,,other")

    assert not found.odd
    np.testing.assert_array_equal(found.x[:, 0], [0, 1, 2, math.nan, math.nan, -1])
    assert np.isnan(found.x[:, 2]).all()


@pytest.mark.parametrize("text", [" a", "a ", "ö", "\u00a0NA", " NA", "\x1fb"])
def test_a_text_that_python_might_strip_or_refuse_is_left_to_it(text: str) -> None:
    assert odd_rows(a_read(f"1,,{text}")) == [0]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_records_end_as_the_csv_module_has_it(end: str) -> None:
    found = a_read("", "1,x,a", "2,é,a", "3,a", "4,,a,", "5,,a", end=end)

    assert odd_rows(found) == [2, 3]
    assert found.x[:, 1][[0, 1, 4]].tolist() == [1, 2, 5]


def test_of_columns_of_one_name_the_last_counts() -> None:
    found = a_read("7,1,", "7,1,2", names=("age", "size", "age"))

    np.testing.assert_array_equal(found.x[:, 2], [math.nan, 2])


def test_blocks_with_too_many_odd_records_are_for_others() -> None:
    reader = PlainReader(compiled(), ["size"], SIGNATURE)

    assert len(a_read(*["?,,"] * MOST_ODD).odd) == MOST_ODD
    assert reader.read(b"?\n" * (MOST_ODD + 1)) is None
