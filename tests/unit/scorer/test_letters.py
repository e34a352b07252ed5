"""From condemned rows to errors and dead letters."""

from dataclasses import replace
from datetime import timedelta
from typing import cast

import numpy as np

from services.scorer.attempt import Attempt
from services.scorer.bisect import Condemned
from services.scorer.lease import ChunkLease
from services.scorer.letters import MOST_OF_CHUNK, MOST_OF_JOB, dead_letters, poison
from shared.scripts import Held, JobQueue

HELD = Held("me", "1-1", "job", 3)
SECOND = Attempt(HELD, 2, ChunkLease(cast(JobQueue, None), HELD, timedelta(seconds=1)))


def test_rows_that_were_not_asked_about_are_passed_over() -> None:
    condemned = [Condemned(0, 5, "crash"), Condemned(2, 4, "hang", rows=2)]
    indices = np.array([300, 301, 303, 304])
    assert [(error.index, error.code, error.detail) for error in poison(condemned, indices)] == [
        (300, "poison", "crash"),
        (303, "poison", "hang"),
        (304, "poison", "hang"),
    ]
    letters = dead_letters(SECOND, condemned, indices)
    assert [(letter.row, letter.rows, letter.reason, letter.deaths) for letter in letters] == [
        (300, 1, "crash", 6),
        (303, 2, "hang", 5),
    ]
    assert {(letter.job_id, letter.chunk) for letter in letters} == {("job", 3)}


def test_neighbours_that_failed_alike_share_a_letter() -> None:
    condemned = [Condemned(0, 5, "crash"), Condemned(1, 3, "crash"), Condemned(2, 4, "hang"), Condemned(4, 4, "hang")]
    letters = dead_letters(SECOND, condemned, np.arange(10))
    assert [(letter.row, letter.rows, letter.deaths) for letter in letters] == [(0, 2, 6), (2, 1, 5), (4, 1, 5)]


def test_a_block_with_a_gap_has_two_letters() -> None:
    letters = dead_letters(SECOND, [Condemned(0, 1, "hang", rows=4)], np.array([7, 8, 10, 11]))
    assert [(letter.row, letter.rows) for letter in letters] == [(7, 2), (10, 2)]


def test_however_many_rows_are_poison_the_letters_are_bounded() -> None:
    condemned = [Condemned(row, 5, "crash") for row in range(0, 5000, 2)]
    assert len(poison(condemned, np.arange(5000))) == 2500
    before_and_now = {0: MOST_OF_CHUNK, MOST_OF_JOB - 1: 1, MOST_OF_JOB: 0, MOST_OF_JOB + 50: 0}
    for before, now in before_and_now.items():
        assert len(dead_letters(replace(SECOND, letters=before), condemned, np.arange(5000))) == now
