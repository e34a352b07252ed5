"""Stacks to measure: started as a user starts them, with one kind of model, trained on the example."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.jobs.bare import served_by
from shared.artifact import ONNX
from shared.engines import Engine
from shared.params import Candidate
from shared.settings import ROOT
from tests.e2e.stack import LocalStack

SCORERS = 2
MODELS: tuple[Candidate, ...] = ("random_forest", "ridge")


@contextmanager
def a_stack(directory: Path, model: str, **settings: object) -> Iterator[LocalStack]:
    stack = LocalStack(directory, params_path=write_params(directory, model), **({"scorers": SCORERS} | settings))
    try:
        yield stack.start()
        stack.stop()
    finally:
        stack.kill()


def write_params(directory: Path, model: str) -> Path:
    """Write the example's params.yaml with one candidate alone."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["source"] = str(ROOT / params["data"]["source"])
    params["selection"]["only"] = model
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def served_artifact(stack: LocalStack) -> Path:
    """Return the directory of the version in service."""
    info = stack.get("gateway", "/model/info")
    return stack.state_dir / "store" / "models" / str(info["name"]) / str(info["version"])


def served_engine(stack: LocalStack) -> Engine:
    """Open the engine that serves, in this process."""
    return served_by(served_artifact(stack) / ONNX)
