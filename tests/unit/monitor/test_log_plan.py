"""What is merged: enough small files while the day goes on, and all that overlap once it is over."""

import random
from itertools import pairwise

import pyarrow as pa

from services.monitor.log.files import LogFile, RowGroup
from services.monitor.log.plan import MANY, MOST_SOURCES, Target, plan
from services.monitor.log.rows import FIXED
from tests.unit.monitor.logged import a_file, from_groups

TARGET = Target(rows=1000, bytes=1 << 30)


def small(n: int, rows: int = 10) -> list[LogFile]:
    return [a_file("a", "z", rows, key=f"{i:05}") for i in range(n)]


def test_few_small_files_wait_and_many_become_one() -> None:
    assert plan(small(MANY - 1), TARGET, closed=False) == []
    (merge,) = plan(small(MANY), TARGET, closed=False)
    assert merge.sources == tuple(small(MANY))
    assert list(merge.ranges) == [("", None)]


def test_a_large_file_is_left_alone_while_the_day_goes_on() -> None:
    (merge,) = plan([a_file("a", "z", 500), *small(MANY)], TARGET, closed=False)
    assert merge.sources == tuple(small(MANY))


def test_no_merge_is_larger_than_a_file_may_be() -> None:
    merges = plan(small(100, 99), TARGET, closed=False)
    assert [len(merge.sources) for merge in merges] == [10] * 10
    assert [len(m.sources) for m in plan(small(MOST_SOURCES + 5, 0), TARGET, closed=False)] == [MOST_SOURCES, 5]


def test_wide_rows_make_smaller_files() -> None:
    wide = pa.schema([*FIXED, *(pa.field(f"f{i}", pa.float64()) for i in range(1000))])
    assert Target(rows=1000, bytes=1_000_000).rows_of(wide) < 130
    assert Target(rows=1000, bytes=1_000_000).rows_of(FIXED) == 1000


def test_files_of_different_columns_stay_apart() -> None:
    number, text = (pa.schema([*FIXED, pa.field("size", kind)]) for kind in (pa.float64(), pa.string()))
    files = [a_file("a", "z", 10, schema=kind, key=f"{kind}{i}") for i in range(MANY) for kind in (FIXED, number, text)]
    merges = plan(files, TARGET, closed=False)
    assert [{file.schema for file in merge.sources} for merge in merges] == [{FIXED}, {number}, {text}]


def test_a_day_that_is_over_ends_as_files_that_do_not_overlap() -> None:
    first, second = from_groups(("a", "k", 900), key="1"), from_groups(("l", "z", 900), key="2")
    assert plan([first, second], TARGET, closed=True) == []
    both = [
        from_groups(("a", "k", 450), ("k", "p", 450), key="1"),
        from_groups(("c", "l", 450), ("m", "z", 450), key="2"),
    ]
    (merge,) = plan(both, TARGET, closed=True)
    assert (set(merge.sources), merge.bounds) == ({*both}, ("k",))
    assert plan(both, TARGET, closed=False) == []


def test_a_file_that_does_not_say_what_it_holds_overlaps_with_all() -> None:
    files = [a_file("a", "b", 900), a_file("", None, 900), a_file("y", "z", 900)]
    (merge,) = plan(files, TARGET, closed=True)
    assert set(merge.sources) == set(files)


def test_too_many_rows_of_one_request_are_not_brought_together() -> None:
    assert plan([a_file("same", "same", 900, key=str(i)) for i in range(9)], TARGET, closed=True) == []


def test_merging_comes_to_an_end_and_leaves_files_that_neither_overlap_nor_are_small() -> None:
    """Drawn at random: ids in the order of time, as gateways give them, or in none, as callers do."""
    for seed in range(60):
        draw = random.Random(seed)
        ordered, files = draw.random() < 0.5, list[list[str]]()
        for number in range(draw.randint(2, 60)):
            rows = draw.randint(1, 300)
            files.append([f"{number * 300 + i if ordered else draw.randrange(10**6):06}" for i in range(rows)])
        total = sorted(name for names in files for name in names)
        for _ in range(8):
            described = {str(i): (_described(str(i), names), names) for i, names in enumerate(files)}
            merges = plan([file for file, _ in described.values()], TARGET, closed=True)
            if not merges:
                break
            for merge in merges:
                names = sorted(name for file in merge.sources for name in described.pop(file.key)[1])
                for low, high in merge.ranges:
                    between = [name for name in names if low <= name and (high is None or name < high)]
                    assert len(between) <= 2 * TARGET.rows, seed
                    described[f"{merge.sources[0].key}.{low}"] = (_described("", between), between)
            files = [names for _, names in described.values() if names]
        else:
            raise AssertionError(f"no end with seed {seed}")
        files.sort()
        assert sorted(name for names in files for name in names) == total
        assert all(max(one) < min(other) for one, other in pairwise(files)), seed
        assert sum(len(names) * 2 < TARGET.rows for names in files) <= 1, seed


def _described(key: str, names: list[str]) -> LogFile:
    groups = [names[i : i + 50] for i in range(0, len(names), 50)]
    return LogFile(key, 1, FIXED, tuple(RowGroup(len(g), min(g), max(g), 0, 1) for g in groups))
