"""Rows made from a signature fit it, or do not, as asked; and what they must end in is known by version."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from shared.signature import Feature, InvalidRow, RowEncoder, Signature, Target
from tasador.client import BatchPrediction, Client, ModelInfo
from tasador.client.answers import RowError
from tasador.torture.oracle import Oracle
from tasador.torture.samples import ndjson, some_rows

SIGNATURE = Signature(
    target=Target(name="y"),
    features=(
        Feature(name="a", kind="numeric", nullable=False, minimum=-3.0, maximum=4.0),
        Feature(name="b", kind="numeric", nullable=True),
        Feature(name="c", kind="categorical", nullable=True, categories=("x", "z")),
    ),
)


@pytest.mark.parametrize("seed", range(5))
def test_so_many_rows_are_broken_and_no_others(seed: int) -> None:
    encoder = RowEncoder(SIGNATURE)
    rows = some_rows(SIGNATURE, 300, 40, seed)
    for row in rows[:260]:
        encoder.encode(row)
    for row in rows[260:]:
        with pytest.raises(InvalidRow):
            encoder.encode(row)
    assert any(row["b"] is None for row in rows[:260])
    assert [json.loads(line) for line in ndjson(rows)] == rows


def test_a_table_is_drawn_with_its_share_of_broken_rows() -> None:
    oracle = Oracle(SIGNATURE, seed=1, rows=100, broken=10)
    places = oracle.draw(1_000, 10, seed=2)
    assert int((places >= 90).sum()) == 10
    assert oracle.draw(1_000, 10, seed=2).tolist() == places.tolist()
    lines = [json.loads(line) for line in oracle.body(places).splitlines()]
    assert lines == [{"row": n, **oracle.rows[place]} for n, place in enumerate(places)]


def test_what_was_never_asked_is_not_expected() -> None:
    oracle = Oracle(SIGNATURE, seed=1, rows=100, broken=10)
    assert oracle.expected("1", np.arange(3)) is None
    assert oracle.value("1", 0) is None
    assert oracle.valid(92)[0] == 2


class Gateway(Client):
    """Answers with a number for every row that it is given."""

    def predict_batch(self, rows: Iterable[Mapping[str, Any]]) -> BatchPrediction:
        count = len(list(rows))
        error = RowError(index=1, field="a", code="null", detail="")
        return BatchPrediction(
            predictions=[None if n == error.index else float(n) for n in range(count)],
            errors=[error],
            count=count,
            model_name="m",
            model_version="7",
            inference_time=0.0,
            request_id="",
        )

    def model_info(self) -> ModelInfo:
        return ModelInfo(name="m", version="7", signature=SIGNATURE.model_dump())


def test_what_a_version_gives_is_expected_of_it_and_a_condemned_row_ends_in_its_error() -> None:
    oracle = Oracle(SIGNATURE, seed=1, rows=3, broken=0)
    condemned = oracle.add(oracle.rows[0], "poison")
    with Gateway() as gateway:
        assert oracle.learn(gateway) == "7"
    expected = oracle.expected("7", np.array([condemned, 2, 1]))
    assert expected is not None
    assert expected.codes.tolist() == ["poison", "", "null"]
    assert np.array_equal(expected.values, [np.nan, 2.0, np.nan], equal_nan=True)
    assert condemned not in oracle.draw(1_000, 0, seed=1)
