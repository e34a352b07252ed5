import pytest

from services.scorer.isolate import time_limit


@pytest.mark.parametrize(("rows", "seconds"), [(5000, 60), (2500, 60), (1250, 30), (500, 12), (1, 5)])
def test_fewer_rows_of_a_chunk_have_less_time(rows: int, seconds: float) -> None:
    assert time_limit(rows, 5000, 60) == seconds


@pytest.mark.parametrize("rows", [1, 5000])
def test_no_rows_have_more_than_the_whole_chunk(rows: int) -> None:
    assert time_limit(rows, 5000, 2) == 2
