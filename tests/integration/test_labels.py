"""Labelled rows as they lie in the store."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations

import pyarrow as pa
import pytest

from services.trainer.labels import Labels
from services.trainer.read_labels import read_labels
from shared.store import Store
from tests.artifacts import an_artifact
from tests.labels import NOW, labelled_table, put_labels

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def features(rows: int) -> dict[str, Sequence[object]]:
    return {
        "place": ["north"] * rows,
        "length": [1.5] * rows,
        "weight": [2.0] * rows,
        "grade": ["a"] * rows,
        "count": [3.0] * rows,
    }


def actual(labels: Labels) -> list[float]:
    return sorted(value for group in labels.groups for value in group.columns[-1].numbers.tolist())


@pytest.fixture
async def model(store: Store) -> str:
    await an_artifact(store)
    return "model"


async def test_of_rows_with_one_key_the_one_reported_last_counts(store: Store, model: str) -> None:
    for name, value, at in (("c", 1.0, NOW), ("b", 3.0, NOW + 2 * MINUTE), ("a", 2.0, NOW + MINUTE)):
        await put_labels(store, model, labelled_table([value, 7.0], features(2), labelled_at=at), name)

    assert actual(await read_labels(store, model, "price", 100)) == [3.0, 7.0]


async def test_with_it_goes_the_value_that_was_reported_first_in_whatever_order_they_are_read(
    store: Store, model: str
) -> None:
    for names in permutations("abcd"):
        for i, name in enumerate(names):
            table = labelled_table([1.0 + i, 7.0 + i], {**features(2), "first": [0, 0]}, labelled_at=NOW + i * MINUTE)
            await put_labels(store, model, table, name)
        for limit in (2, 100):  # 2: what was read is thinned out before the last file
            (group,) = (await read_labels(store, model, "price", limit)).groups
            columns = (group.columns[-1].numbers.tolist(), group.first.numbers.tolist())
            assert sorted(zip(*columns, strict=True)) == [(4.0, 1.0), (10.0, 7.0)]


async def test_of_two_predictions_under_one_id_each_has_a_first_value_of_its_own(store: Store, model: str) -> None:
    await put_labels(store, model, labelled_table([1.0], features(1), time=NOW - DAY))
    await put_labels(store, model, labelled_table([2.0], features(1)), "told")
    await put_labels(store, model, labelled_table([3.0], features(1), labelled_at=NOW + MINUTE), "corrected")

    for limit in (1, 100):  # 1: the day before is not read
        (group,) = (await read_labels(store, model, "price", limit)).groups
        assert (group.columns[-1].numbers.tolist(), group.first.numbers.tolist()) == ([3.0], [2.0])


async def test_the_newest_rows_are_read_up_to_the_limit(store: Store, model: str) -> None:
    for days in range(4):
        told = [10.0 * days, 10.0 * days + 1]
        table = labelled_table(told, features(2), time=NOW - days * DAY, request_id=f"r{days}")
        await put_labels(store, model, table)

    assert actual(await read_labels(store, model, "price", 3)) == [0, 1, 11]  # the later one of that day
    assert len(actual(await read_labels(store, model, "price", 100))) == 8


async def test_of_rows_of_one_moment_the_same_are_kept_at_every_reading(store: Store, model: str) -> None:
    for part in range(5):
        rows = labelled_table([100.0 * part + i for i in range(50)], features(50), request_id=f"job:{part}")
        moment = pa.array([NOW] * 50, pa.timestamp("us", "UTC"))
        await put_labels(store, model, rows.set_column(0, "time", moment), str(part))

    kept = actual(await read_labels(store, model, "price", 60))
    assert len(kept) == 60
    assert kept == actual(await read_labels(store, model, "price", 60))
    assert set(kept) < set(actual(await read_labels(store, model, "price", 80)))


async def test_rows_of_a_version_that_is_gone_or_of_another_target_are_counted(store: Store, model: str) -> None:
    await put_labels(store, model, labelled_table([1.0, 2.0], features(2), version="9"), "gone")
    await put_labels(store, model, labelled_table([1.0], features(1), request_id="s"), "here")

    assert +(await read_labels(store, model, "price", 100)).left_out == {
        "version 9, which predicted them, is not in the store any more": 2
    }
    other = await read_labels(store, model, "cost", 100)
    assert other.left_out["version 1 predicted 'price'"] == 1
    assert other.groups == []


async def test_versions_with_other_columns_are_read_side_by_side(store: Store, model: str) -> None:
    await an_artifact(store, version="2")
    await put_labels(store, model, labelled_table([1.0], {**features(1), "extra": [1]}), "one")
    await put_labels(store, model, labelled_table([2.0], {**features(1), "extra": ["x"]}, version="2"), "two")

    labels = await read_labels(store, model, "price", 100)
    assert actual(labels) == [1, 2]
    names = {"place", "length", "weight", "grade", "count", "price"}
    assert [{column.name for column in group.columns} for group in labels.groups] == [names, names]


async def test_a_file_that_is_damaged_costs_itself(store: Store, model: str) -> None:
    await put_labels(store, model, labelled_table([1.0], features(1)))
    await store.put(f"labels/{model}/date=2026-03-04/b.parquet", b"PAR1 and no more")

    labels = await read_labels(store, model, "price", 100)
    assert actual(labels) == [1]
    assert sum(labels.left_out.values()) == 1


async def test_a_file_of_a_newer_schema_is_not_read_as_if_it_were_ours(store: Store, model: str) -> None:
    ours, newer = ({"tasador.schema": version} for version in ("1", "2"))
    await put_labels(store, model, labelled_table([1.0], features(1)).replace_schema_metadata(ours), "ours")
    table = labelled_table([2.0], features(1), request_id="s")
    await put_labels(store, model, table.replace_schema_metadata(newer), "newer")

    labels = await read_labels(store, model, "price", 100)
    assert actual(labels) == [1]
    said = "files of labels/model/date=2026-03-04 were written by a newer Tasador: upgrade the trainer"
    assert +labels.left_out == {said: 1}


async def test_a_file_that_is_replaced_while_its_day_is_read_is_read_in_its_new_form(store: Store, model: str) -> None:
    await put_labels(store, model, labelled_table([1.0, 2.0], features(2)), "old")
    read = store.get

    async def replaced_first(key: str) -> bytes:
        if key.endswith("old.parquet") and await store.exists(key):
            await put_labels(store, model, labelled_table([1.0], features(1)), "new")
            await store.delete(key)
        return await read(key)

    store.get = replaced_first  # type: ignore[method-assign]
    labels = await read_labels(store, model, "price", 100)
    assert actual(labels) == [1.0]
    assert +labels.left_out == {}


async def test_without_labels_there_are_none(store: Store) -> None:
    assert (await read_labels(store, "model", "price", 100)).groups == []
