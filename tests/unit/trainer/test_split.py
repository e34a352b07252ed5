from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from services.trainer.split import make_split, require_values, row_digests
from services.trainer.table import DataUnusable, read_table
from tests.tables import as_csv, repeated


def digests(**columns: Sequence[object]) -> list[bytes]:
    return row_digests(read_table(as_csv(columns), ("",)).columns)


def numbered(rows: int) -> list[bytes]:
    return digests(x=range(rows), y=range(rows))


def test_the_split_never_changes_between_releases() -> None:
    split = make_split(numbered(100), 0.2, 4, 42)

    assert split.test.tolist()[:6] == [4, 5, 10, 11, 28, 29]
    assert split.folds.tolist()[:10] == [0, 0, 1, 3, 1, 3, 3, 1, 2, 3]


def test_an_appended_row_moves_no_other_one() -> None:
    before, after = make_split(numbered(300), 0.2, 5, 42), make_split(numbered(301), 0.2, 5, 42)

    assert [row for row in after.test if row < 300] == before.test.tolist()
    fold_of = dict(zip(after.train.tolist(), after.folds.tolist(), strict=True))
    assert [fold_of[row] for row in before.train.tolist()] == before.folds.tolist()


def test_rows_keep_their_place_when_they_are_shuffled() -> None:
    order = np.random.default_rng(0).permutation(300)
    split, shuffled = make_split(numbered(300), 0.2, 5, 42), make_split([numbered(300)[i] for i in order], 0.2, 5, 42)

    assert sorted(order[shuffled.test].tolist()) == split.test.tolist()


def test_equal_rows_fall_together() -> None:
    split = make_split(digests(x=repeated(range(100), 300), y=repeated(range(100), 300)), 0.2, 5, 42)

    assert {row % 100 for row in split.test.tolist()}.isdisjoint(row % 100 for row in split.train.tolist())
    folds = [{row % 100 for row in split.train[split.folds == fold].tolist()} for fold in range(5)]
    assert sum(map(len, folds)) == len(set.union(*folds))


def test_another_seed_draws_other_folds_and_the_same_test_rows() -> None:
    one, other = make_split(numbered(300), 0.2, 5, 1), make_split(numbered(300), 0.2, 5, 2)

    assert one.test.tolist() == other.test.tolist()
    assert one.folds.tolist() != other.folds.tolist()


def test_parts_have_about_their_size() -> None:
    split = make_split(numbered(10_000), 0.2, 5, 42)

    assert len(split.test) == pytest.approx(2000, rel=0.1)
    assert np.bincount(split.folds).tolist() == pytest.approx([1600] * 5, rel=0.1)


def test_the_order_of_columns_and_the_spelling_of_numbers_do_not_matter() -> None:
    assert digests(a=["1", "-0"], b=["x", "y"]) == digests(b=["x", "y"], a=["1.0", "0"])


def test_null_zero_and_words_are_different() -> None:
    assert len(set(digests(a=["", "0", "zero", "word"], b=[1, 1, 1, 1]))) == 4


def test_words_do_not_run_into_each_other() -> None:
    assert len(set(digests(a=["xs", "x"], b=["y", "sy"]))) == 2


def test_too_few_rows_for_the_test_are_refused() -> None:
    with pytest.raises(DataUnusable, match=r"raise data\.test_fraction"):
        make_split(numbered(50), 0.02, 2, 42)


def test_too_few_rows_for_a_fold_are_refused() -> None:
    with pytest.raises(DataUnusable, match=r"lower selection\.cv"):
        make_split(numbered(60), 0.2, 20, 42)


def test_a_column_without_values_in_a_training_part_is_refused() -> None:
    split = make_split(numbered(100), 0.2, 5, 42)
    sparse = np.full(100, np.nan)
    sparse[split.train[split.folds == 0]] = 1.0

    with pytest.raises(DataUnusable, match="column 'sparse': too few values"):
        require_values(pd.DataFrame({"full": np.ones(100), "sparse": sparse}), split)
