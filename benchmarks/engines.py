"""The engines beside scikit-learn's own predict, in one process, without HTTP, on one thread."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

import pandas as pd
from rich.table import Table
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from benchmarks.example import rows
from benchmarks.tables import a_table
from services.trainer.candidates import build_pipeline
from services.trainer.dataset import load_dataset
from services.trainer.export import encode_frame, export_pipeline
from shared.engines import KERNEL, ONNXRUNTIME, Engine, open_engine
from shared.kernel import PLAIN_NAME
from shared.params import Candidate, load_params
from shared.settings import ROOT

CANDIDATES: tuple[Candidate, ...] = ("random_forest", "gradient_boosting", "ridge")
SIZES = (1, 32, 1_000, 100_000)
LEAST_ROWS = 300  # in a round, however few at a time: always others, as branches and caches matter
ROUNDS = 7
SCIKIT_LEARN = "scikit-learn"
SCIKIT_LEARN_ROWS = 20  # of a round, where each takes milliseconds

Predict = Callable[[int, int], object]
"""The rows from one position to another."""
Seconds = Mapping[int, list[float]]
"""Per size, what a call took: the mean of each round."""


def engines() -> list[Table]:
    """Time a row alone and many, in turns."""
    params = load_params(ROOT / "params.yaml")
    dataset = load_dataset(params, ROOT)
    frame = rows(SIZES[-1])
    tables = []
    for candidate in CANDIDATES:
        pipeline = build_pipeline(candidate, dataset.columns, params).fit(dataset.frame, dataset.target)
        with threadpool_limits(1):
            tables.append(_table(candidate, _measure(_predictors(pipeline, frame))))
    return tables


def _predictors(pipeline: Pipeline, frame: pd.DataFrame) -> dict[str, Predict]:
    """All get their rows as they take them: a table, or a matrix."""
    exported = export_pipeline(pipeline)
    x = encode_frame(frame, exported)
    singles = x[:LEAST_ROWS].tolist()

    def by(engine: Engine) -> Predict:
        return lambda start, end: engine.run(x[start:end]) if end > start + 1 else engine.run_row(singles[start])

    names = [ONNXRUNTIME, KERNEL, *([PLAIN_NAME] if exported.exactness == "bound" else [])]
    ours = {name: by(open_engine(name, exported.onnx)) for name in names}
    return {SCIKIT_LEARN: lambda start, end: pipeline.predict(frame.iloc[start:end]), **ours}


def _measure(predictors: Mapping[str, Predict]) -> Mapping[str, Seconds]:
    """Take processor time, which does not count what else the machine does; nobody here uses a second thread."""
    taken: dict[str, dict[int, list[float]]] = {name: defaultdict(list) for name in predictors}
    for _ in range(ROUNDS):
        for size in SIZES:
            for name, predict in predictors.items():
                least = SCIKIT_LEARN_ROWS if name == SCIKIT_LEARN else LEAST_ROWS
                starts = range(0, max(size, least - least % size), size)
                started = time.thread_time()
                for start in starts:
                    predict(start, start + size)
                taken[name][size].append((time.thread_time() - started) / len(starts))
    return taken


def _table(candidate: str, taken: Mapping[str, Seconds]) -> Table:
    sizes = [f"{size:,} row{'s' * (size > 1)} µs" for size in SIZES[:2]] + [f"{size:,} rows ms" for size in SIZES[2:]]
    table = a_table(f"{candidate}: processor time of a call", "engine", *sizes, "min-max", "of onnxruntime")
    reference = statistics.median(taken[ONNXRUNTIME][SIZES[-1]])
    for name, seconds in taken.items():
        medians = [statistics.median(seconds[size]) for size in SIZES]
        shown = [f"{median * 1e6:,.1f}" for median in medians[:2]] + [f"{median * 1e3:,.2f}" for median in medians[2:]]
        last = seconds[SIZES[-1]]
        spread = f"{min(last) * 1e3:,.1f}-{max(last) * 1e3:,.1f}"
        table.add_row(name, *shown, spread, f"{medians[-1] / reference:.2f}")
    return table
