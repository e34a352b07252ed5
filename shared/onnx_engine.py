"""onnxruntime as an engine. It has a module of its own so that only who serves with it loads it."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class OnnxRuntimeEngine:
    """onnxruntime with one thread: a second one would change the order of sums, and with it the last bit."""

    name = "onnxruntime"

    def __init__(self, onnx: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; warnings about graph optimisation are noise
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self._run = session.run

    def run(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = self._run(["s"], {"x": x})[0]
        return result

    def run_row(self, row: Sequence[float]) -> float:
        return float(self.run(np.array([row], np.float64))[0, 0])
