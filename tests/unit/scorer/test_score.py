import hashlib

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from services.scorer.score import EngineFailed, Errors, conclude, give_up, read_rows, score_chunk
from shared.chunks import Chunk, ChunkInvalid, RowError, carried_of, decode_part, encode_chunk
from shared.profile import Profile, Summary, build_profile, summarise
from shared.signature import Feature, Signature, Target

SIGNATURE = Signature(
    target=Target(name="price"),
    features=tuple(Feature(name=name, kind="numeric", nullable=True) for name in ("size", "age")),
)
TRAINED = np.random.default_rng(0).normal(size=(100, 2))


class SumOfRow:
    """Adds up a row. Counts the rows it saw."""

    errors: Errors | None = None

    def __init__(self) -> None:
        self.seen = 0

    @property
    def profile(self) -> Profile:
        return build_profile(SIGNATURE, TRAINED, TRAINED.sum(axis=1))

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        self.seen += len(x)
        sums: NDArray[np.float64] = x.sum(axis=1)
        return sums


def test_every_row_gets_its_prediction_in_order() -> None:
    x = np.arange(6.0).reshape(3, 2)
    scored = score_chunk(SumOfRow(), encode_chunk(Chunk(100, x)), 100)
    records = decode_part(scored.data).to_pylist()
    assert [(r["index"], r["prediction"]) for r in records] == [(100, 1.0), (101, 5.0), (102, 9.0)]
    assert (scored.rows, scored.failed) == (3, 0)
    assert scored.sha256 == hashlib.sha256(scored.data).hexdigest()


def test_a_bad_row_keeps_its_place_and_never_reaches_the_engine() -> None:
    model = SumOfRow()
    error = RowError(1, "size", "wrong_type", "expected a number")
    scored = score_chunk(model, encode_chunk(Chunk(0, np.ones((3, 2)), [error])), 0)
    assert [r["prediction"] for r in decode_part(scored.data).to_pylist()] == [2.0, None, 2.0]
    assert (model.seen, scored.rows, scored.failed) == (2, 3, 1)


def test_a_chunk_of_bad_rows_only_does_not_trouble_the_engine() -> None:
    model = SumOfRow()
    error = RowError(0, "", "malformed", "no row")
    scored = score_chunk(model, encode_chunk(Chunk(0, np.ones((1, 2)), [error])), 0)
    assert (model.seen, scored.failed) == (0, 1)


def test_a_prediction_that_is_no_number_is_an_error_of_its_row() -> None:
    x = np.array([[1.0, 1.0], [np.inf, 0.0]])
    scored = score_chunk(SumOfRow(), encode_chunk(Chunk(0, x)), 0)
    good, bad = decode_part(scored.data).to_pylist()
    assert (good["prediction"], good["error_code"]) == (2.0, None)
    assert (bad["prediction"], bad["error_code"], bad["error_field"]) == (None, "not_finite", "")
    assert scored.failed == 1


def test_what_is_counted_for_drift_are_the_rows_with_a_prediction() -> None:
    x = np.array([[1.0, 1.0], [np.inf, 0.0], [0.5, 0.5]])
    error = RowError(2, "size", "missing", "is required")
    model = SumOfRow()
    scored = score_chunk(model, encode_chunk(Chunk(0, x, [error])), 0)
    assert scored.counts == summarise(model.profile, x[:1], np.array([2.0]))


class SumOfErrors:
    """Counts the rows that it is asked about."""

    def summarise(self, x: NDArray[np.float64]) -> Summary:
        return {"e:n": len(x), "e:s1": int(x.sum())}


def test_errors_are_estimated_for_the_rows_with_a_prediction() -> None:
    model = SumOfRow()
    model.errors = SumOfErrors()
    x = np.array([[1.0, 1.0], [np.inf, 0.0], [0.5, 0.5], [3.0, 4.0]])
    error = RowError(2, "size", "missing", "is required")
    scored = score_chunk(model, encode_chunk(Chunk(0, x, [error])), 0)
    assert scored.counts == {**summarise(model.profile, x[[0, 3]], np.array([2.0, 7.0])), "e:n": 2, "e:s1": 9}


def test_errors_are_not_estimated_where_rows_are_suspected() -> None:
    """An isolated chunk may hold rows that kill a process, and the error model runs in the scorer's own."""
    model = SumOfRow()
    model.errors = SumOfErrors()
    rows = read_rows(model, encode_chunk(Chunk(0, np.ones((2, 2)))), 0)
    assert "e:n" not in conclude(model, rows, np.array([2.0, 2.0]), 0.0).counts


@pytest.mark.parametrize("fate", ["scored", "given up"])
def test_columns_that_pass_through_come_out_as_they_came_in(fate: str) -> None:
    carried = pa.record_batch({"row": [17, None], "name": ["é", None]})
    data = encode_chunk(Chunk(0, np.ones((2, 2)), carried=carried))
    scored = score_chunk(SumOfRow(), data, 0) if fate == "scored" else give_up(data, "given up")
    part = decode_part(scored.data)
    assert part.schema.names[5:] == ["row", "name"]
    assert carried_of(part, own=5).equals(carried)


@pytest.mark.parametrize(
    "data", [b"nonsense", encode_chunk(Chunk(7, np.ones((1, 2)))), encode_chunk(Chunk(0, np.ones((1, 3))))]
)
def test_another_chunk_than_the_expected_one_is_refused(data: bytes) -> None:
    with pytest.raises(ChunkInvalid):
        score_chunk(SumOfRow(), data, 0)


def test_a_chunk_that_was_given_up_ends_in_errors() -> None:
    scored = give_up(encode_chunk(Chunk(100, np.ones((2, 2)))), "given up after 6 attempts")
    records = decode_part(scored.data).to_pylist()
    assert [(r["index"], r["prediction"], r["error_code"]) for r in records] == [
        (100, None, "poison"),
        (101, None, "poison"),
    ]
    assert (scored.rows, scored.failed) == (2, 2)


def test_a_row_in_error_keeps_its_error_when_its_chunk_is_given_up() -> None:
    error = RowError(101, "size", "missing", "is required")
    records = decode_part(give_up(encode_chunk(Chunk(100, np.ones((2, 2)), [error])), "given up").data).to_pylist()
    assert [r["error_code"] for r in records] == ["poison", "missing"]


def test_poison_is_an_error_of_its_row_and_counts_for_nothing() -> None:
    x = np.array([[1.0, 1.0], [2.0, 2.0], [np.inf, 0.0], [3.0, 3.0]])
    missing = RowError(7, "size", "missing", "is required")
    model = SumOfRow()
    rows = read_rows(model, encode_chunk(Chunk(7, x, [missing])), 7)
    assert rows.indices().tolist() == [8, 9, 10]
    poison = RowError(10, "", "poison", "it died")
    scored = conclude(model, rows, np.array([4.0, np.inf, np.nan]), 0.0, [poison])
    records = decode_part(scored.data).to_pylist()
    assert [(r["prediction"], r["error_code"]) for r in records] == [
        (None, "missing"),
        (4.0, None),
        (None, "not_finite"),
        (None, "poison"),
    ]
    assert scored.failed == 3
    assert scored.counts == summarise(model.profile, x[1:2], np.array([4.0]))


def test_whatever_the_engine_raises_has_one_name() -> None:
    class Broken(SumOfRow):
        def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
            raise MemoryError("too much")

    with pytest.raises(EngineFailed, match="MemoryError: too much"):
        score_chunk(Broken(), encode_chunk(Chunk(0, np.ones((1, 2)))), 0)
