"""The faults that other tests order: that they happen, in a real process and in no other way."""

import subprocess
import sys

import pytest

from shared.settings import ROOT
from tests.faulty import EXIT_CODE, Faults, environment

PREDICT = """
import numpy as np, shared.onnx_engine as onnx
class Session:
    def __init__(self, *_, **__): pass
    def run(self, names, feeds): return [feeds["x"]]
onnx.onnxruntime.InferenceSession = Session
print(onnx.OnnxRuntimeEngine(b"").run(np.array([[1.0], [666.0]])).tolist())
"""


def predict(faults: Faults) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PREDICT],
        cwd=ROOT,
        env=environment(faults),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip()


def test_without_its_row_the_engine_works() -> None:
    assert predict(Faults(exit_at=5.0, raise_at=6.0)) == (0, "[[1.0], [666.0]]")


@pytest.mark.parametrize(
    ("faults", "code", "said"),
    [(Faults(exit_at=666.0), EXIT_CODE, ""), (Faults(raise_at=666.0), 1, "it does not like this row")],
)
def test_its_row_is_too_much(faults: Faults, code: int, said: str) -> None:
    found, output = predict(faults)
    assert found == code
    assert said in output
