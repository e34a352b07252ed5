"""Labelled rows become rows of the data: each in its part, none in another's way."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from services.trainer.dataset import Dataset, load_dataset
from services.trainer.labels import LabelledRows, Labels, to_rows
from services.trainer.reported import Reported
from services.trainer.split import held_out
from services.trainer.table import raw_column
from shared.params import Params
from shared.signature import Feature, Signature, Target
from tests.tables import as_csv, some_params

ROWS = 300


def a_signature(*numbers: str, text: str | None = "town", target: str = "y") -> Signature:
    features = [Feature(name=name, kind="numeric", nullable=True) for name in numbers]
    if text:
        features.append(Feature(name=text, kind="categorical", nullable=True, categories=("oslo", "rome")))
    return Signature(target=Target(name=target), features=tuple(features))


def labelled(
    signature: Signature, actual: list[float | None], first: list[float] | None = None, **columns: list[Any]
) -> tuple[LabelledRows, Counter[str]]:
    left_out: Counter[str] = Counter()
    times = pa.array(range(len(actual)), pa.timestamp("us", "UTC"))
    table = pa.table({"time": times, "actual": pa.array(actual, pa.float64()), **columns})
    reported = Reported(table, np.array(first or actual, np.float64), np.zeros(len(actual), np.int64))
    return to_rows(reported, signature, left_out), +left_out


class Project:
    """A table of two features and, if asked for, a column that is none."""

    def __init__(self, directory: Path, *, identifier: bool = False, rows: int = ROWS) -> None:
        self.directory = directory
        rng = np.random.default_rng(5)
        self.columns: dict[str, list[Any]] = {
            "x": rng.normal(size=rows).tolist(),
            "town": rng.choice(["oslo", "rome"], rows).tolist(),
            "y": rng.normal(size=rows).tolist(),
        }
        features = {}
        if identifier:
            self.columns["id"] = [f"row {i}" for i in range(rows)]
            features = {"id": {"drop": True}}
        (directory / "table.csv").write_bytes(as_csv(self.columns))
        self.params = some_params(features=features, retrain={"labelled_rows": True})

    def load(self, *groups: LabelledRows, params: Params | None = None) -> Dataset:
        return load_dataset(params or self.params, self.directory, Labels(list(groups)))

    def repeated(self, *rows: int) -> LabelledRows:
        """Return rows of the file as if they had been predicted, and had come true as the file says."""
        picked = {name: [self.columns[name][row] for row in rows] for name in ("x", "town")}
        found, left_out = labelled(a_signature("x"), [self.columns["y"][row] for row in rows], **picked)
        assert not left_out
        return found

    def corrected(self, *rows: int, first: float) -> LabelledRows:
        """Return the same rows, reported with another value before."""
        found = self.repeated(*rows)
        return replace(found, first=raw_column("y", [repr(first)] * len(rows), ()))


def parts_of(dataset: Dataset) -> list[bool]:
    parts: list[bool] = held_out(dataset.digests, 0.2).tolist()
    return parts


def new_rows(count: int, *, x: float = 9.0) -> LabelledRows:
    found, _ = labelled(a_signature("x"), [0.5 * i for i in range(count)], x=[x] * count, town=["rome"] * count)
    return found


def test_they_are_appended_and_move_no_row(tmp_path: Path) -> None:
    project = Project(tmp_path)
    before, after = project.load(), project.load(new_rows(200))

    assert (before.labelled, after.labelled) == (0, 200)
    assert len(after.frame) == ROWS + 200
    assert after.digests[:ROWS] == before.digests
    assert after.frame["x"].tolist()[:ROWS] == before.frame["x"].tolist()
    assert after.frame["town"].tolist()[ROWS:] == ["rome"] * 200
    assert after.target.tolist()[ROWS:] == [0.5 * i for i in range(200)]
    assert 20 < sum(parts_of(after)[ROWS:]) < 60


def test_they_stay_where_they_are_when_others_come_or_go(tmp_path: Path) -> None:
    project = Project(tmp_path)
    alone, beside = project.load(new_rows(50)), project.load(new_rows(50, x=4.0), new_rows(50))

    assert beside.digests[-50:] == alone.digests[-50:]


@pytest.mark.parametrize("drop", [False, True])
def test_dropping_a_feature_later_does_not_move_them(tmp_path: Path, drop: bool) -> None:
    project = Project(tmp_path)
    params = some_params(features={"town": {"drop": drop}}, retrain={"labelled_rows": True})

    assert project.load(new_rows(50), params=params).digests == project.load(new_rows(50)).digests


def test_one_that_equals_a_row_of_the_data_is_in_its_part(tmp_path: Path) -> None:
    project = Project(tmp_path)
    dataset = project.load(project.repeated(*range(ROWS)))

    assert dataset.digests[ROWS:] == dataset.digests[:ROWS]


def test_beside_a_column_that_is_no_feature_one_that_would_fall_apart_is_left_out(tmp_path: Path) -> None:
    project = Project(tmp_path, identifier=True)
    dataset = project.load(project.repeated(*range(ROWS)))

    parts = dict(zip(zip(dataset.frame["x"], dataset.target, strict=True), parts_of(dataset)[:ROWS], strict=False))
    for row in range(ROWS, len(dataset.frame)):
        assert parts_of(dataset)[row] == parts[(dataset.frame["x"][row], dataset.target[row])]
    assert 0.5 * ROWS < dataset.labelled < 0.8 * ROWS
    assert any("labelled rows" in told and "other part" in told for told in dataset.findings)


def test_a_correction_changes_the_row_and_the_hash_of_the_data_and_not_the_part(tmp_path: Path) -> None:
    project = Project(tmp_path)
    features: dict[str, list[Any]] = {"x": [0.01 * i for i in range(500)], "town": ["rome"] * 500}
    first = [0.5 * i for i in range(500)]
    told, _ = labelled(a_signature("x"), [*first], **features)
    corrected, _ = labelled(a_signature("x"), [y + 1 for y in first], first, **features)
    before, after = project.load(told), project.load(corrected)

    assert after.digests == before.digests
    assert after.target.tolist()[ROWS:] == [y + 1 for y in first]
    assert after.raw.first.numbers.tolist() == before.raw.column("y").numbers.tolist()
    assert after.raw.contents[:ROWS] == before.raw.contents[:ROWS]
    assert not set(after.raw.contents[ROWS:]) & set(before.raw.contents[ROWS:])
    assert after.sha256 != before.sha256


def test_rows_are_split_by_some_columns_as_before_a_correction_too(tmp_path: Path) -> None:
    project = Project(tmp_path)
    told, _ = labelled(a_signature("x"), [1.0], x=[9.0], town=["rome"])
    corrected, _ = labelled(a_signature("x"), [2.0], [1.0], x=[9.0], town=["rome"])
    before, after = project.load(told).raw, project.load(corrected).raw

    assert after.digests_by(("x", "y")) == before.digests_by(("x", "y"))
    assert after.digests_by(after.names) == after.digests


def test_one_that_was_corrected_to_a_row_of_the_other_part_is_left_out(tmp_path: Path) -> None:
    project = Project(tmp_path)
    dataset = project.load(project.corrected(*range(ROWS), first=7.5))

    parts = dict(zip(dataset.raw.contents, parts_of(dataset)[:ROWS], strict=False))
    for content, part in zip(dataset.raw.contents[ROWS:], parts_of(dataset)[ROWS:], strict=True):
        assert part == parts[content]
    assert 0.5 * ROWS < dataset.labelled < 0.8 * ROWS
    left_out = ROWS - dataset.labelled
    assert f"labelled rows: {left_out} left out: an equal row of the data falls into the other part" in dataset.findings


def test_with_labelled_rows_off_they_are_there_to_judge_by_and_not_to_train_on(tmp_path: Path) -> None:
    project = Project(tmp_path)
    off = project.load(new_rows(20), params=some_params())

    assert (len(off.frame), off.labelled, len(off.raw.digests)) == (ROWS, 0, ROWS + 20)
    assert off.sha256 == project.load().sha256


def test_the_hash_of_the_data_covers_them(tmp_path: Path) -> None:
    project = Project(tmp_path)

    assert len({project.load(*rows).sha256 for rows in ([], [new_rows(2)], [new_rows(3)])}) == 3


def test_rows_that_cannot_be_known_again_are_left_out_and_counted() -> None:
    found, left_out = labelled(
        a_signature("x"),
        [1.0, None, float("inf"), 4.0, 5.0],
        x=[1.0, 2.0, 3.0, None, 5.0],
        town=["oslo", "oslo", "oslo", None, "<unknown>"],
    )

    assert [column.cells for column in found.columns] == [["1.0", None], ["oslo", None], ["1.0", "4.0"]]
    assert sorted(left_out.values()) == [1, 2]


def test_rows_without_a_present_feature_or_of_another_kind_are_left_out(tmp_path: Path) -> None:
    project = Project(tmp_path)
    lacking, _ = labelled(a_signature("x", text=None), [1.0], x=[1.0])
    other, _ = labelled(a_signature("x", "town", text=None), [1.0, 2.0], x=[1.0, 1.0], town=[1.0, 2.0])
    dataset = project.load(lacking, other)

    assert dataset.labelled == 0
    assert "labelled rows: 1 left out: column 'town' was no feature when they were predicted" in dataset.findings
    said = "labelled rows: 2 left out: column 'town' is categorical now, and was numeric when they were predicted"
    assert said in dataset.findings


def test_a_null_where_the_data_has_none_is_left_out(tmp_path: Path) -> None:
    found, _ = labelled(a_signature("x"), [1.0, 2.0], x=[1.0, None], town=["oslo", "oslo"])
    dataset = Project(tmp_path).load(found)

    assert dataset.labelled == 1
    assert any("column 'x' is null" in told for told in dataset.findings)


def test_a_feature_named_as_a_column_of_the_log_is_found_under_its_longer_name() -> None:
    signature = a_signature("index", text=None)
    found, _ = labelled(signature, [1.0], index=[7], **{"feature.index": [2.5]})

    assert found.columns[0].numbers.tolist() == [2.5]


def test_a_column_that_no_longer_is_in_the_data_does_not_matter(tmp_path: Path) -> None:
    found, _ = labelled(a_signature("x", "gone"), [1.0], x=[1.0], gone=[3.0], town=["oslo"])

    assert Project(tmp_path).load(found).labelled == 1
