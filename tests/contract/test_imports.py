"""What a serving process loads: nothing that only training needs, whichever way it comes in."""

import subprocess
import sys

import pytest

from shared.settings import ROOT

SERVING = ("gateway", "scorer", "monitor")
TRAINING = ("sklearn", "pandas", "mlflow", "matplotlib", "onnx", "scipy")


def _run(code: str) -> str:
    """Run `code` in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("service", SERVING)
def test_a_serving_process_loads_itself_and_no_training_library(service: str) -> None:
    loaded = _run(f"import services.{service}.__main__, sys; print(*sys.modules)").split()
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(TRAINING)
    assert {".".join(name.split(".")[:2]) for name in loaded if name.startswith("services.")} == {f"services.{service}"}
    assert "tasador" not in loaded


WITHOUT_TRAINING = f"""
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {TRAINING}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NotInstalled())
"""
"""As in an image that has only what its service needs: importing one of them fails."""

JOB = """
import io, sys
import numpy as np
from services.gateway.tables import Format, TableLimits, open_table
from services.monitor.log import rows
from services.scorer import score
from shared.chunks import Chunk, decode_part, encode_chunk
from shared.profile import build_profile
from shared.signature import Feature, Signature, Target

kind = Feature(name="kind", kind="categorical", nullable=True, categories=("a", "b"))
signature = Signature(
    target=Target(name="y"), features=(Feature(name="size", kind="numeric", nullable=False), kind)
)
table = open_table(Format.CSV, io.BytesIO(b"size,kind\\n1,a\\nx,b\\n3,\\n"), signature, TableLimits(1000, 1000))
(block,) = table.blocks()

class Model:
    errors = None
    profile = build_profile(signature, block.x, np.zeros(3))
    def predict(self, x):
        return x[:, 0]

scored = score.score_chunk(Model(), encode_chunk(Chunk(0, block.x)), 0)
print(decode_part(scored.data).column("prediction").to_pylist()[::2], rows.to_parquet.__name__)
"""


ROUTE = """
from fastapi import FastAPI
def answer() -> int: ...
FastAPI().get("/")(answer)
"""


def test_nothing_loads_what_is_installed_and_not_used() -> None:
    setup = "from shared.process import without_unused; without_unused()\n"
    told = "\nprint(*({'pandas', 'pydantic.v1'} & set(sys.modules)))"
    assert _run(setup + JOB + ROUTE + told).split("\n")[1] == ""


def test_a_job_is_read_and_scored_where_no_training_library_is_installed() -> None:
    """Arrow loads pandas by itself where it is installed; nothing may depend on that."""
    assert _run(WITHOUT_TRAINING + JOB).split("\n")[0] == "[1.0, 3.0] to_parquet"
