"""The engines beside scikit-learn's own predict, in one process, without HTTP, on one thread."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

import pandas as pd
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from benchmarks.example import rows
from benchmarks.section import Run
from benchmarks.tables import Cell, Column, Table, figure
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


def engines(run: Run) -> Iterator[Table]:
    """Time a row alone and many, in turns."""
    run.versions.update((name, version(name)) for name in (SCIKIT_LEARN, ONNXRUNTIME, "numpy"))
    params = load_params(ROOT / "params.yaml")
    dataset = load_dataset(params, ROOT)
    frame = rows(SIZES[-1])
    for candidate in CANDIDATES:
        pipeline = build_pipeline(candidate, dataset.columns, params).fit(dataset.frame, dataset.target)
        with threadpool_limits(1):
            taken = _measure(_predictors(pipeline, frame), run.rounds(ROUNDS))
        yield _table(candidate, taken)


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


def _measure(predictors: Mapping[str, Predict], rounds: int) -> Mapping[str, Seconds]:
    """Take processor time, which does not count what else the machine does; nobody here uses a second thread."""
    taken: dict[str, dict[int, list[float]]] = {name: defaultdict(list) for name in predictors}
    for _ in range(rounds):
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
    columns = [Column("engine")]
    columns += [Column(f"{size:,} row{'s' * (size > 1)}", "µs", digits=1) for size in SIZES[:2]]
    columns += [Column(f"{size:,} rows", "ms", digits=2, spread=size == SIZES[-1]) for size in SIZES[2:]]
    columns.append(Column("of onnxruntime", digits=2))
    reference = statistics.median(taken[ONNXRUNTIME][SIZES[-1]])
    rows: list[list[Cell]] = []
    for name, seconds in taken.items():
        scales = [1e6 if column.unit == "µs" else 1e3 for column in columns[1:-1]]
        cells = [figure([t * scale for t in seconds[size]]) for size, scale in zip(SIZES, scales, strict=True)]
        rows.append([name, *cells, statistics.median(seconds[SIZES[-1]]) / reference])
    return Table(candidate, f"{candidate.replace('_', ' ')}: processor time of a call", columns, rows)
