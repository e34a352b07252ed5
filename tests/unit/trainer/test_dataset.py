from pathlib import Path

import numpy as np
import pytest

from services.trainer.dataset import load_dataset
from services.trainer.table import DataUnusable
from shared.params import load_params
from tests.tables import as_csv, parcel_project, some_params

REPOSITORY = Path(__file__).parents[3]


def test_the_example_data_loads_without_a_finding() -> None:
    dataset = load_dataset(load_params(REPOSITORY / "params.yaml"), REPOSITORY)

    assert dataset.frame.shape == (506, 13)
    assert set(dataset.frame.dtypes) == {np.dtype(np.float64)}
    assert dataset.findings == ()


def test_numbers_become_float64_and_words_str_with_one_kind_of_null(tmp_path: Path) -> None:
    dataset = load_dataset(parcel_project(tmp_path), tmp_path)

    assert dataset.frame.columns.tolist() == ["weight", "distance", "carrier", "zone", "insured"]
    assert dataset.frame["distance"].dtype == np.float64
    assert {type(value) for value in dataset.frame["carrier"]} == {str}
    nulls = dataset.frame["zone"][dataset.frame["zone"].isna()].tolist()
    assert nulls
    assert {type(null) for null in nulls} == {float}


def test_what_was_noticed_is_told_by_column(tmp_path: Path) -> None:
    findings = "\n".join(load_dataset(parcel_project(tmp_path), tmp_path).findings)

    assert "column 'weight'" in findings
    assert "column 'zone'" in findings
    assert "column 'currency': constant ('EUR')" in findings


def test_equal_rows_are_reported_and_kept(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(as_csv({"x": [*range(60), 0, 1], "y": [*range(60), 0, 1]}))

    dataset = load_dataset(some_params(), tmp_path)

    assert len(dataset.frame) == 62
    assert dataset.findings == ("2 rows equal an earlier one (lines 62, 63); kept, and never split from it",)


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    params = parcel_project(tmp_path)
    before = load_dataset(params, tmp_path).sha256
    with (tmp_path / "parcels.csv").open("a") as file:
        file.write("1,2,rail,A,EUR,0,3\n")

    assert load_dataset(params, tmp_path).sha256 != before


def test_dropping_a_feature_leaves_the_row_digests_as_they_were(tmp_path: Path) -> None:
    every, fewer = parcel_project(tmp_path), parcel_project(tmp_path, features={"weight": {"drop": True}})

    assert load_dataset(every, tmp_path).digests == load_dataset(fewer, tmp_path).digests


def test_own_null_markers_are_understood(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(as_csv({"x": [*range(59), "n.a."], "y": range(60)}))

    with pytest.raises(DataUnusable):
        load_dataset(some_params(), tmp_path)
    assert load_dataset(some_params(data={"null_values": ["n.a."]}), tmp_path).columns[0].nullable
