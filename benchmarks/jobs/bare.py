"""The limit: the version's engine on an array that is in memory already, in as many processes as there are scorers."""

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np

from shared.artifact import MANIFEST
from shared.engines import Engine, open_engine

PIECE = 5_000  # rows a call: faster than all at once, which leaves the caches


def served_by(onnx: Path) -> Engine:
    """Open the engine that serves a version, by the graph in its artifact."""
    manifest = json.loads((onnx.parent / MANIFEST).read_bytes())
    return open_engine(manifest["engine"], onnx.read_bytes())


def measured(onnx: Path, array: Path, processes: int) -> tuple[float, float]:
    """Return how long all rows take, from a common start to the last one's end, and the processor's seconds."""
    context = multiprocessing.get_context("spawn")
    barrier, busy = context.Barrier(processes + 1), context.Array("d", processes)
    workers = [context.Process(target=_run, args=(onnx, array, i, barrier, busy)) for i in range(processes)]
    for worker in workers:
        worker.start()
    barrier.wait()
    start = time.perf_counter()
    barrier.wait()
    taken = time.perf_counter() - start
    for worker in workers:
        worker.join()
    return taken, sum(busy[:])


def _run(onnx: Path, array: Path, share: int, barrier: Any, busy: Any) -> None:
    engine = served_by(onnx)
    x = np.array_split(np.load(array, mmap_mode="r"), len(busy))[share].copy()
    engine.run(x[:PIECE])
    barrier.wait()
    before = time.process_time()
    for start in range(0, len(x), PIECE):
        engine.run(x[start : start + PIECE])
    busy[share] = time.process_time() - before
    barrier.wait()
