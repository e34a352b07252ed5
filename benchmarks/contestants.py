"""Who is asked for single rows: started on the servers' core, and found to answer rightly before it is measured."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bare import BODY
from benchmarks.gateways import Trained, a_gateway
from benchmarks.rivals.catalogue import Place, Rival, Row
from benchmarks.rivals.environments import environment, installed_version
from benchmarks.section import Run
from benchmarks.servers import NotStarted, Server
from benchmarks.single_tables import BARE, FAST_PATH, PLAIN, STRIPPED, TASADOR
from benchmarks.training import Training
from tests.ports import free_port, free_ports

_SECONDS_TO_FIT = 240
_CHECKED = 20  # rows


@dataclass(frozen=True)
class Contestant:
    name: str
    url: str
    bodies: Path
    """To post in turn, one a line."""
    servers: Sequence[Server]
    seconds_to_start: float

    def busy(self) -> float:
        return sum(server.busy() for server in self.servers)


def bare(run: Run, stack: ExitStack, training: Training) -> list[Contestant]:
    port = free_port()
    server = stack.enter_context(Server([sys.executable, "-m", "benchmarks.bare", str(port)], run.directory))
    run.versions["uvicorn"] = version("uvicorn")
    constant: float = json.loads(BODY)["prediction"]
    asked = Asked(BARE, f"http://127.0.0.1:{port}/predict", dict, _prediction, [constant] * len(training.asked))
    return [_ready(run, asked, training, [server])]


def tasador(run: Run, stack: ExitStack, training: Training, trained: Trained) -> list[Contestant]:
    gateway = stack.enter_context(a_gateway(run.directory / "gateway", trained))
    fast = stack.enter_context(a_gateway(run.directory / "fast", trained, gateway_fast_path=True))
    port, plain_port = free_ports(2)
    command = [sys.executable, "-m", "benchmarks.stripped"]
    environment = trained.environment()
    stripped = stack.enter_context(Server([*command, str(port)], run.directory, environment=environment))
    plain = stack.enter_context(Server([*command, str(plain_port), "--plain"], run.directory, environment=environment))
    return [
        _ready(run, asked, training, servers)
        for asked, servers in (
            (Asked(TASADOR, f"{gateway.url}/predict", dict, _prediction), [gateway.server, gateway.valkey]),
            (Asked(FAST_PATH, f"{fast.url}/predict", dict, _prediction), [fast.server, fast.valkey]),
            (Asked(STRIPPED, f"http://127.0.0.1:{port}/predict", dict, _prediction), [stripped]),
            (Asked(PLAIN, f"http://127.0.0.1:{plain_port}/predict", dict, _prediction), [plain]),
        )
    ]


def rival(run: Run, stack: ExitStack, training: Training, of: Rival) -> list[Contestant]:
    """Raises NotInstalled, NotStarted."""
    run.say(f"{of.name}: its environment, model and server")
    programs = environment(of.package, run.cache)
    run.versions[of.package] = installed_version(programs, of.package)
    directory = run.directory / f"{of.package}-{training.candidate}"
    directory.mkdir()
    port = free_port()
    place = Place(
        programs, _fitted(directory / "model", programs, training), directory / "files", port, training.columns
    )
    of.write_files(place)
    settings = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", **of.environment(place)}
    server = stack.enter_context(Server(of.command(place), place.directory, environment=settings, ours=False))
    return [
        _ready(
            run, Asked(of.name + suffix, f"http://127.0.0.1:{port}{path}", of.body, of.prediction), training, [server]
        )
        for suffix, path in of.paths.items()
    ]


@dataclass(frozen=True)
class Asked:
    """How to ask one, and what it has to say."""

    name: str
    url: str
    body: Callable[[Row], Any]
    prediction: Callable[[Any], float]
    expected: Sequence[float] | None = None
    """Other than the pipeline's."""


def _prediction(answer: Mapping[str, float]) -> float:
    return answer["prediction"]


def _ready(run: Run, asked: Asked, training: Training, servers: Sequence[Server]) -> Contestant:
    """Raises NotStarted: or it answers something else than the pipeline that it was given."""
    bodies = [json.dumps(asked.body(row)).encode() for row in training.asked]
    checked = list(zip(bodies, asked.expected or training.expected, strict=True))[:_CHECKED]
    started = time.monotonic()
    servers[0].wait_for(asked.url, bodies[0])
    seconds = time.monotonic() - started
    for body, expected in checked:
        answer = httpx.post(asked.url, content=body, headers={"content-type": "application/json"}, timeout=30)
        found = asked.prediction(answer.raise_for_status().json())
        if not math.isclose(found, expected, rel_tol=1e-9):
            raise NotStarted(f"{asked.name} answers {found} where the pipeline says {expected}")
    path = run.directory / f"{asked.name}-{training.candidate}.bodies".replace("/", "-")
    path.write_bytes(b"\n".join(bodies) + b"\n")
    return Contestant(asked.name, asked.url, path, servers, seconds)


def _fitted(directory: Path, programs: Path, training: Training) -> Path:
    """Fit the pipeline in a rival's environment. Raises NotStarted."""
    described = training.write(directory.with_suffix(".json"))
    program = Path(__file__).parent / "rivals" / "programs" / "fit.py"
    command = [str(programs / "python"), str(program), str(described), str(directory)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_FIT, check=False)
    except subprocess.TimeoutExpired:
        raise NotStarted(f"its model is not fitted within {_SECONDS_TO_FIT} s") from None
    if done.returncode:
        raise NotStarted(f"its model cannot be fitted: {done.stderr.strip()[-300:]}")
    return directory
