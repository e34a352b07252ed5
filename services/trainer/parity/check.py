"""Compares a graph with the pipeline that it was exported from."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from services.trainer.export import Exported, decode_rows, encode_frame
from services.trainer.export.exported import Exactness
from services.trainer.export.linear import read_linear
from services.trainer.export.trees import read_trees
from services.trainer.parity.acceptance import ask
from services.trainer.parity.bound import dot_bound
from services.trainer.parity.compare import Difference, compare
from services.trainer.parity.edge_rows import split_rows, threshold_rows
from services.trainer.parity.reference import Matrix, Reference
from services.trainer.parity.rows import draw_rows, special_rows
from services.trainer.parity.thresholds import find_edges
from services.trainer.parity.trial import KernelTrial
from shared.engines import ONNXRUNTIME, Engine, open_engine

CHUNK = 8192
"""Rows that a thread compares at a time: bounds the memory, and keeps the cores busy to the end."""
WALKERS = 2000
"""Rows of the data from which rows on the edge of a split are made."""
SAMPLE = 1000
SINGLY = 0
BATCHES = (SINGLY, 1, 3, 20, 50, 128)
"""Sizes in which the sample is scored again: engines walk few rows and many in different ways."""


@dataclass(frozen=True)
class ParityReport:
    """What was compared, and how close it was."""

    rows: int
    exactness: Exactness
    max_abs_difference: float
    worst_bound_ratio: float | None
    """Largest share of the bound that a row used up, at most 1; None where bits were compared."""
    engine: str
    """Which one is to serve: the kernel, if it gave the same numbers on all of these rows."""
    kernel_refused: str | None
    """Why it is not the kernel."""
    seconds: float


def check_parity(
    pipeline: Any, exported: Exported, frame: pd.DataFrame, *, seed: int, drawn: int = 100_000
) -> ParityReport:
    """Score many rows with the pipeline and with the graph, by both engines. Takes seconds, on all cores.

    Args:
        frame: the data's rows, of which others are made.
        drawn: how many rows to draw around them.

    Raises:
        ParityFailed: onnxruntime gives another number for a row. If only the kernel does, onnxruntime serves.
        ExportRefused: the frame holds what the graph's matrix cannot say.
    """
    started = time.perf_counter()
    gate = _Gate(pipeline, exported, frame)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        worst = list(threads.map(gate.compare, gate.cases(np.random.default_rng(seed), drawn)))
    rows = sum(difference.rows for difference in worst)
    if not gate.trial.failed:
        worst = gate.trial.differences or worst
    ratios = [difference.ratio for difference in worst if difference.ratio is not None]
    return ParityReport(
        rows=rows,
        exactness=exported.exactness,
        max_abs_difference=max(difference.absolute for difference in worst),
        worst_bound_ratio=max(ratios, default=None),
        engine=gate.trial.serves,
        kernel_refused=gate.trial.failed,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, eq=False)
class _Case:
    """Rows to compare."""

    name: str
    rows: Matrix
    batch: int
    frame: pd.DataFrame | None = None
    """The same rows as they came; otherwise `rows` decoded."""


class _Gate:
    def __init__(self, pipeline: Any, exported: Exported, frame: pd.DataFrame) -> None:
        self._pipeline, self._exported, self._frame = pipeline, exported, frame
        self._reference = Reference(pipeline, exported)
        self._onnxruntime = open_engine(ONNXRUNTIME, exported.onnx)
        self.trial = KernelTrial(exported, encode_frame(frame.iloc[:SAMPLE], exported))
        self._linear = read_linear(pipeline[1]) if exported.exactness == "bound" else None

    def cases(self, rng: np.random.Generator, drawn: int) -> Iterator[_Case]:
        data = encode_frame(self._frame, self._exported)
        for start in range(0, len(data), CHUNK):
            part = slice(start, start + CHUNK)
            yield _Case("row of the data", data[part], CHUNK, self._frame.iloc[part])
        accepted = ask(self._pipeline, self._exported, self._frame)
        around = draw_rows(data, self._exported, accepted, rng, drawn)
        yield from _split("drawn row", around)
        yield from _split("row with a category, unknown or null", special_rows(data, self._exported, accepted))
        if self._linear is None:
            yield from self._edge_cases(data, rng)
        for batch in BATCHES:
            name = f"row scored {batch} at a time" if batch else "row scored by itself"
            yield _Case(name, around[:SAMPLE], batch)

    def _edge_cases(self, data: Matrix, rng: np.random.Generator) -> Iterator[_Case]:
        trees = read_trees(self._pipeline[1])
        edges = find_edges(self._pipeline[0], trees, self._exported, data)
        yield from _split("row on a threshold", threshold_rows(edges, data))
        walkers = rng.permutation(len(data))[:WALKERS]
        transformed = self._reference.transform(self._frame.iloc[walkers])
        yield from _split("row on a split", split_rows(edges, trees, data[walkers], transformed, rng))

    def compare(self, case: _Case) -> Difference:
        frame = case.frame
        if frame is None:
            frame = decode_rows(case.rows, self._exported, self._frame)
        transformed = self._reference.transform(frame)
        bound = None if self._linear is None else dot_bound(self._linear, transformed)
        theirs = self._reference.margins(transformed)
        ours = _score(self._onnxruntime, case)
        difference = compare(case.name, case.rows, theirs, ours, bound)
        score = partial(_score, case=case)
        self.trial.compare(case.name, case.rows, theirs, ours, bound=bound, score=score)
        return difference


def _score(engine: Engine, case: _Case) -> Matrix:
    if case.batch == SINGLY:  # as `/predict` does, which reads the first margin alone
        margins = engine.run(case.rows)
        margins[:, 0] = [engine.run_row(row) for row in case.rows.tolist()]
        return margins
    starts = range(0, len(case.rows), case.batch)
    return np.concatenate([engine.run(case.rows[start : start + case.batch]) for start in starts])


def _split(name: str, rows: Matrix) -> Iterator[_Case]:
    for start in range(0, len(rows), CHUNK):
        yield _Case(name, rows[start : start + CHUNK], CHUNK)
