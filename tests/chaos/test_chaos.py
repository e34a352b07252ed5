"""Whatever dies while a job runs: each of its rows ends in one record, at its place, with its number."""

import os
from pathlib import Path

import pytest

from tasador.torture.checker import check, landed
from tasador.torture.history import Read
from tasador.torture.schedule import Kind
from tests.chaos.endure import POISON, Chaos, a_stack, endure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SOME: dict[Kind, int] = {"kill": 5, "pause": 3, "redis": 1, "slow": 1, "flush": 1}
MANY: dict[Kind, int] = {"kill": 20, "pause": 10, "redis": 2, "slow": 2, "flush": 1}
SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1 2 3").split()]


def test_no_row_is_lost_doubled_or_moved_whatever_dies(tmp_path: Path) -> None:
    survive(Chaos(rows=20_000, faults=SOME, seed=1), tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("seed", SEEDS)
def test_no_row_of_a_hundred_thousand_is_lost_doubled_or_moved(tmp_path: Path, seed: int) -> None:
    survive(Chaos(rows=100_000, faults=MANY, seed=seed), tmp_path)


def survive(chaos: Chaos, directory: Path) -> None:
    with a_stack(directory, chaos) as stack:
        history = endure(stack, chaos)
    history.write(directory / "history.jsonl")
    assert [verdict for verdict in check(history) if not verdict.held] == []
    (outcome,) = [read.outcome for read in history.of(Read)]
    assert (outcome.values, outcome.errors, outcome.compared) == (chaos.rows - chaos.errors, chaos.errors, chaos.rows)
    assert outcome.poison == POISON
    assert len(landed(history)) == sum(chaos.faults.values()), "the faults must land inside the job"
