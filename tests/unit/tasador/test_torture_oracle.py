"""Rows made from a signature fit it, or do not, as asked; and what they must end in is known by version."""

import json

import numpy as np
import pytest

from shared.signature import Feature, InvalidRow, RowEncoder, Signature, Target
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
    places = oracle.draw(1_000, 0.01, seed=2)
    assert int((places >= 90).sum()) == 10
    assert oracle.draw(1_000, 0.01, seed=2).tolist() == places.tolist()
    lines = [json.loads(line) for line in oracle.body(places).splitlines()]
    assert lines == [{"row": n, **oracle.rows[place]} for n, place in enumerate(places)]
    assert len(oracle.draw(1, 0.01, seed=2)) == 1


def test_what_was_never_asked_is_not_expected() -> None:
    oracle = Oracle(SIGNATURE, seed=1, rows=100, broken=10)
    assert oracle.expected("1", np.arange(3)) is None
    assert oracle.value("1", 0) is None
    assert oracle.valid(92)[0] == 2
