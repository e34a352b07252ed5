"""What is measured of drift: false alarms against the budget, rows until a shift is found, and both of Evidently."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version

from scipy.stats import binomtest

from benchmarks.drift.evidently import DATASET_SHARE, PACKAGE, Evidently
from benchmarks.drift.ours import BUDGETS, TESTS, VERDICTS, Cell, Setup, false_alarms, found
from benchmarks.drift.population import SHIFTED
from benchmarks.section import Run
from benchmarks.tables import Cell as Shown
from benchmarks.tables import Column, Table
from services.monitor.drift import Limits

REFERENCES, WINDOWS = (500, 5_000), (100, 500, 2_000)
USUAL = 13
"""Features where no other number is said."""

NOTHING_DRIFTS = (
    (Setup((500,), WINDOWS, (5, USUAL)), 10_000),
    (Setup((5_000,), (500, 2_000, 10_000), (5, USUAL)), 10_000),
    (Setup(REFERENCES, (500, 2_000), (50,)), 5_000),
)
"""What is evaluated, and how often: more rows and features take as much longer."""

SHIFT = 0.5
FOUND_AT = (50, 100, 150, 200, 250, 300, 400, 500, 700, 1_000)
SURE = 0.9
WINDOWS_OF_EACH = 500


def drift(run: Run) -> Iterator[Table]:
    run.versions["scipy"] = version("scipy")
    yield from _alarms(run)
    evidently = Evidently.installed(run.cache)
    run.versions[PACKAGE] = evidently.version
    yield _alarms_of_evidently(run, evidently)
    yield _detection(run, evidently)


def _alarms(run: Run) -> Iterator[Table]:
    setups = [(setup, run.few(draws, draws // 100)) for setup, draws in NOTHING_DRIFTS]
    alarms = [false_alarms(setup, draws, seed) for seed, (setup, draws) in enumerate(setups)]
    for what, title in (
        (TESTS, "evaluations with any test rejected"),
        (VERDICTS, "evaluations that name a feature, or the prediction"),
    ):
        rows = [row for setup, counted in zip(setups, alarms, strict=True) for row in _rows(*setup, counted, what)]
        columns = [Column("features"), Column("reference", "rows"), Column("window", "rows"), Column("evaluations")]
        columns += [Column(f"budget {budget:.1%}") for budget in BUDGETS]
        notes = ["in parentheses: Clopper and Pearson's 95 % confidence interval"]
        yield Table(what, f"Nothing has drifted: {title}", columns, rows, notes)


def _rows(setup: Setup, draws: int, alarms: Mapping[Cell, int], what: str) -> Iterator[list[Shown]]:
    for features in setup.features:
        for reference in setup.references:
            for window in setup.windows:
                counts = [alarms.get(Cell(reference, window, features, budget, what), 0) for budget in BUDGETS]
                yield [str(features), reference, window, draws, *(rate(count, draws) for count in counts)]


def _alarms_of_evidently(run: Run, evidently: Evidently) -> Table:
    draws = run.few(WINDOWS_OF_EACH, 20)
    rows: list[list[Shown]] = []
    for reference in REFERENCES:
        named = evidently.named(run.directory / f"none-{reference}", reference, WINDOWS, features=USUAL, draws=draws)
        for window, drifted in named.items():
            dataset = int((drifted.mean(axis=1) >= DATASET_SHARE).sum())
            any_column = rate(int(drifted.any(axis=1).sum()), draws)
            rows.append(
                [f"{reference:,}", window, draws, any_column, rate(dataset, draws), float(drifted.sum(axis=1).mean())]
            )
    columns = [
        Column("reference rows"),
        Column("window", "rows"),
        Column("evaluations"),
        Column("name a column"),
        Column("name the data set"),
        Column("columns named, of 14,", "on average", digits=2),
    ]
    notes = ["its tests at 5 % per column up to 1,000 rows of reference, limits on distances beyond"]
    return Table("evidently", "Nothing has drifted: Evidently's default preset", columns, rows, notes)


def _detection(run: Run, evidently: Evidently) -> Table:
    draws = run.few(WINDOWS_OF_EACH, 20)
    ours = found(Setup(REFERENCES, FOUND_AT, (USUAL,)), SHIFT, draws, seed=3)
    rows: list[list[Shown]] = []
    for reference in REFERENCES:
        named = evidently.named(
            run.directory / f"some-{reference}", reference, FOUND_AT, features=USUAL, draws=draws, shift=SHIFT
        )
        theirs = {window: float(drifted[:, SHIFTED].mean()) for window, drifted in named.items()}
        of_us = {window: ours[reference, window] for window in FOUND_AT}
        rows.append([f"Tasador, budget {Limits.false_alarms:.1%}", reference, least(of_us), *_at(of_us)])
        rows.append(["Evidently, default preset", reference, least(theirs), *_at(theirs)])
    columns = [Column("who"), Column("reference", "rows"), Column("found by 90 % from rows")]
    columns += [Column(f"found of {window:,} rows", digits=3) for window in SHOWN]
    title = f"One of {USUAL} features moves by {SHIFT} standard deviations: how often it is named"
    return Table(
        "detection",
        title,
        columns,
        rows,
        [f"{draws} windows of each size; {', '.join(map(str, FOUND_AT))} rows were tried"],
    )


SHOWN = (100, 200, 300, 500)


def _at(shares: Mapping[int, float]) -> list[float]:
    return [shares[window] for window in SHOWN]


def least(shares: Mapping[int, float]) -> str:
    """Return from which size on it is found often enough, at that and all larger ones."""
    enough = [all(shares[later] >= SURE for later in FOUND_AT[i:]) for i in range(len(FOUND_AT))]
    return f"{FOUND_AT[enough.index(True)]:,}" if True in enough else f"more than {FOUND_AT[-1]:,}"


def rate(count: int, of: int) -> str:
    """Return a share in per cent with its confidence interval."""
    low, high = binomtest(count, of).proportion_ci(method="exact")
    return f"{count / of:.2%} ({low:.2%}–{high:.2%})"
