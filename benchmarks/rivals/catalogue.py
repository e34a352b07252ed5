"""The rivals: what each is started with, where it answers, and what it wants to be sent.

Settings are those that their own documentation advises for one core: one worker, nothing logged per request, and
batching where it is offered, beside without.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "programs"
PLAIN, BATCHED = "", ", batching"
Row = Mapping[str, float]


@dataclass(frozen=True)
class Place:
    """Where one runs."""

    bin: Path
    """Of its environment."""
    model: Path
    """What `fit` wrote."""
    directory: Path
    """For its files; empty, and the working directory."""
    port: int
    columns: Sequence[str]

    @property
    def python(self) -> str:
        return str(self.bin / "python")


def _wrapped(row: Row) -> Any:
    return {"features": list(row.values())}


@dataclass(frozen=True)
class Rival:
    name: str
    package: str
    """Its lock is `requirements/rivals/<package>.txt`."""
    command: Callable[[Place], list[str]]
    paths: Mapping[str, str]
    """Where it answers, by what is added to its name."""
    body: Callable[[Row], Any] = _wrapped
    prediction: Callable[[Any], float] = lambda answer: answer["prediction"]
    environment: Callable[[Place], Mapping[str, str]] = lambda place: {}
    files: Callable[[Place], Mapping[str, Any]] = lambda place: {}
    """JSON to write into its directory first, by name."""

    def write_files(self, place: Place) -> None:
        for name, value in self.files(place).items():
            path = place.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))


def _mlserver_files(place: Place) -> dict[str, Any]:
    model = {
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(place.model / "model.joblib")},
    }
    batching = {"max_batch_size": 64, "max_batch_time": 0.005}
    return {
        # Without workers of its own, which would only pass rows between processes on the one core.
        "settings.json": {
            "debug": False,
            "parallel_workers": 0,
            "host": "127.0.0.1",
            "http_port": place.port,
            "grpc_port": place.port + 1,
            "metrics_port": place.port + 2,
        },
        "plain/model-settings.json": {"name": "plain", **model},
        "batched/model-settings.json": {"name": "batched", **model, **batching},
    }


def _inference_protocol(row: Row) -> Any:
    values = list(row.values())
    return {"inputs": [{"name": "row", "shape": [1, len(values)], "datatype": "FP64", "data": values}]}


def _mlflow_command(place: Place) -> list[str]:
    serve = ["models", "serve", "--model-uri", str(place.model / "mlflow"), "--env-manager", "local", "--workers", "1"]
    return [str(place.bin / "mlflow"), *serve, "--host", "127.0.0.1", "--port", str(place.port)]


def _bentoml_command(place: Place) -> list[str]:
    options = ["--working-dir", str(PROGRAMS), "--host", "127.0.0.1", "--port", str(place.port)]
    return [str(place.bin / "bentoml"), "serve", "serve_bentoml:Served", *options]


def _program(name: str) -> Callable[[Place], list[str]]:
    return lambda place: [place.python, str(PROGRAMS / name), str(place.model / "model.joblib"), str(place.port)]


RIVALS = (
    Rival(
        "FastAPI, pydantic, scikit-learn",
        "fastapi",
        lambda place: [*_program("serve_fastapi.py")(place), *place.columns],
        {PLAIN: "/predict"},
        body=dict,
    ),
    Rival(
        "MLServer",
        "mlserver",
        lambda place: [str(place.bin / "mlserver"), "start", str(place.directory)],
        {PLAIN: "/v2/models/plain/infer", BATCHED: "/v2/models/batched/infer"},
        body=_inference_protocol,
        prediction=lambda answer: answer["outputs"][0]["data"][0],
        files=_mlserver_files,
    ),
    Rival(
        "BentoML",
        "bentoml",
        _bentoml_command,
        {PLAIN: "/plain", BATCHED: "/batched"},
        body=lambda row: {"features": [list(row.values())]},
        prediction=lambda answer: answer[0],
        environment=lambda place: {
            "MODEL": str(place.model / "model.joblib"),
            "BENTOML_HOME": str(place.directory),
            "BENTOML_DO_NOT_TRACK": "true",
        },
    ),
    Rival("LitServe", "litserve", _program("serve_litserve.py"), {PLAIN: "/plain", BATCHED: "/batched"}),
    Rival(
        "mlflow models serve",
        "mlflow",
        _mlflow_command,
        {PLAIN: "/invocations"},
        body=lambda row: {"inputs": [list(row.values())]},
        prediction=lambda answer: answer["predictions"][0],
        environment=lambda place: {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"},
    ),
    Rival(
        "Ray Serve",
        "ray",
        _program("serve_ray.py"),
        {PLAIN: "/plain", BATCHED: "/batched"},
        environment=lambda place: {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
)
