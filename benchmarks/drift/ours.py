"""Evaluations by the monitor's own code, of windows that grow."""

import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.drift.population import SHIFTED, draw, signature
from services.monitor.columns import Comparison, compare
from services.monitor.drift import Limits
from services.monitor.evaluate import judge
from shared.profile import Profile, Summary, build_profile, merge, summarise

BUDGETS = (0.05, 0.01, 0.001)
DRAWS_AT_ONCE = 20
TESTS, VERDICTS = "tests", "verdicts"


@dataclass(frozen=True)
class Setup:
    references: Sequence[int]
    """Sizes; a smaller one is the beginning of the largest."""
    windows: Sequence[int]
    """Likewise."""
    features: Sequence[int]
    """Numbers of features, likewise."""


@dataclass(frozen=True)
class Cell:
    reference: int
    window: int
    features: int
    budget: float
    what: str
    """`TESTS`: any test was rejected; `VERDICTS`: something was said to have drifted."""


def false_alarms(setup: Setup, draws: int, seed: int) -> Mapping[Cell, int]:
    """Return in how many of `draws` evaluations anything was found. Nothing has drifted.

    Evaluations of a cell are independent, each with a reference and a window of its own; cells share them.
    """
    parts = [(setup, seed, first, min(DRAWS_AT_ONCE, draws - first)) for first in range(0, draws, DRAWS_AT_ONCE)]
    return sum(_in_processes(parts), Counter[Cell]())


def found(setup: Setup, shift: float, draws: int, seed: int) -> Mapping[tuple[int, int], float]:
    """Return by sizes of reference and window how often the feature that moved was named."""
    (features,) = setup.features
    named: Counter[tuple[int, int]] = Counter()
    for number in range(draws):
        for reference, window, comparisons in _compared(np.random.default_rng([seed, number]), setup, shift):
            named[reference, window] += judge(comparisons[features], Limits())[SHIFTED].drifted
    return {sizes: count / draws for sizes, count in named.items()}


def _in_processes(parts: Sequence[tuple[Setup, int, int, int]]) -> Iterator[Counter[Cell]]:
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(part_of_false_alarms, parts)


def part_of_false_alarms(part: tuple[Setup, int, int, int]) -> Counter[Cell]:
    setup, seed, first, draws = part
    alarms: Counter[Cell] = Counter()
    for number in range(first, first + draws):
        for reference, window, comparisons in _compared(np.random.default_rng([seed, number]), setup):
            for features, compared in comparisons.items():
                alarms.update(Cell(reference, window, features, *alarm) for alarm in _alarms(compared))
    return alarms


def _alarms(comparisons: Sequence[Comparison]) -> Iterator[tuple[float, str]]:
    limits = Limits()
    smallest = min(column.p_value for column in judge(comparisons, limits) if column.p_value is not None)
    for budget in BUDGETS:
        if smallest <= budget:
            yield budget, TESTS
            if any(column.drifted for column in judge(comparisons, replace(limits, false_alarms=budget))):
                yield budget, VERDICTS


def _compared(
    rng: np.random.Generator, setup: Setup, shift: float = 0.0
) -> Iterator[tuple[int, int, Mapping[int, Sequence[Comparison]]]]:
    """Return sizes of reference and window, and by number of features what `judge` takes."""
    most = max(setup.features)
    before = draw(rng, max(setup.references), most)
    now = draw(rng, max(setup.windows), most, shift)
    for reference in setup.references:
        profile = build_profile(signature(most), before.x[:reference], before.predictions[:reference])
        for window, summary in _growing(profile, now.x, now.predictions, setup.windows):
            columns = [compare(column, str(i), summary) for i, column in enumerate(profile.features)]
            prediction = compare(profile.prediction, "p", summary)
            yield reference, window, {features: [*columns[:features], prediction] for features in setup.features}


def _growing(
    profile: Profile, x: np.ndarray, predictions: np.ndarray, windows: Iterable[int]
) -> Iterator[tuple[int, Summary]]:
    """Count each row once: a larger window is a smaller one and the rest."""
    summary: Summary = {}
    counted = 0
    for window in windows:
        summary = merge([summary, summarise(profile, x[counted:window], predictions[counted:window])])
        counted = window
        yield window, summary
