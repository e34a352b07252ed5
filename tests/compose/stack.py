"""docker-compose.yml under a project name of its own, driven from outside: by docker's command line and over HTTP."""

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from shared.settings import ROOT
from tasador.client import Client, TasadorError
from tests.compose.commands import CommandFailed, run
from tests.ports import free_ports

COMPOSE_FILE = ROOT / "docker-compose.yml"
PORTS = {
    "proxy": "TASADOR_GATEWAY_PORT",
    "monitor": "TASADOR_MONITOR_PORT",
    "mlflow": "TASADOR_MLFLOW_PORT",
    "prometheus": "PROMETHEUS_PORT",
    "alertmanager": "ALERTMANAGER_PORT",
    "grafana": "GRAFANA_PORT",
}
BUILD = 900.0  # seconds: nothing is cached, and the packages come over a slow line
START = 300.0
SHOWN, KEPT = 20, 100_000  # lines of a container's log: in a message, and in a file
STOP = 120.0  # the longest grace period, twice
REVISION = "0123456789abcdef0123456789abcdef01234567"
"""What the images are told of where they come from: always the same, so that they need not be built again."""

T = TypeVar("T")


@dataclass(frozen=True)
class Container:
    id: str
    name: str
    service: str
    state: str
    health: str
    exit_code: int
    restarts: int
    """By the engine: after `docker kill` there is none."""


class ComposeStack:
    """What `docker compose up` starts, with a .env file, ports and volumes of its own."""

    def __init__(self, directory: Path, name: str, *, override: Path | None = None, **variables: object) -> None:
        # `.ci/run` ends what begins with its name, should nobody be left to do it here.
        self.project = f"{os.environ.get('COMPOSE_TEST_PROJECT', 'tasador-test')}-{os.getpid()}-{name}"
        self.directory = directory
        self.files = [COMPOSE_FILE, *([override] if override else [])]
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.env_file = directory / "env"
        self.variables: dict[str, object] = {
            "ENV_FILE": self.env_file,
            "TAG": "test",
            "REVISION": REVISION,
            **{PORTS[service]: port for service, port in self.ports.items()},
            **variables,
        }
        write_env(self.env_file, self.variables)

    # --- commands

    def compose(self, *arguments: str, within: float = 60.0, env_file: Path | None = None) -> str:
        """Run `docker compose`. The repository's .env, and variables of the shell, have no say."""
        file = ("--project-directory", str(ROOT), *(word for path in self.files for word in ("--file", str(path))))
        project = ("--project-name", self.project, "--env-file", str(env_file or self.env_file))
        return run("docker", "compose", *file, *project, *arguments, within=within, env=_environment())

    def build(self) -> None:
        self.compose("build", "--quiet", within=BUILD)

    def up(self, *services: str, within: float = START) -> None:
        """Return when all are healthy. Whatever is missing runs again; what has not changed goes on."""
        wait = ("--wait", "--wait-timeout", f"{within:.0f}")  # without, it waits for ever for what crashes in a loop
        try:
            self.compose("up", "--detach", "--no-build", *wait, *services, within=within + 30)
        except CommandFailed as failed:
            raise CommandFailed(f"{failed}\n\n{self.told()}") from None

    def down(self) -> None:
        """Leave nothing: containers, networks and volumes go, also those of profiles."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "10", within=STOP)

    def scale(self, **counts: int) -> None:
        """Start or end replicas, and return without waiting for them."""
        scales = [word for service, count in counts.items() for word in ("--scale", f"{service}={count}")]
        self.compose("up", "--detach", "--no-build", "--no-recreate", "--no-deps", *scales, *counts, within=STOP)

    # --- containers

    def ps(self, *services: str) -> list[Container]:
        """Return the containers, also those that have ended, in the order of their names."""
        listed = self.compose("ps", "--all", "--quiet", "--no-trunc", *services).split()
        if not listed:
            return []
        found = [_container(described) for described in json.loads(run("docker", "inspect", *listed))]
        return sorted(found, key=lambda container: container.name)

    def only(self, service: str) -> Container:
        (container,) = self.ps(service)
        return container

    def now(self, container: Container) -> Container:
        """Return how a container is by now."""
        return _container(self.inspect(container))

    def inspect(self, container: Container) -> dict[str, Any]:
        described: dict[str, Any] = json.loads(run("docker", "inspect", container.id))[0]
        return described

    def execute(self, container: Container, *argv: str) -> str:
        return run("docker", "exec", container.id, *argv)

    def kill(self, container: Container) -> None:
        """SIGKILL. The engine takes it for the wish of a person, and does not start it again."""
        run("docker", "kill", container.id)

    def crash(self, container: Container) -> None:
        """SIGKILL to what runs inside, which is what dying by itself looks like."""
        run("docker", "exec", container.id, "sh", "-c", "kill -9 -1")

    def start(self, container: Container) -> None:
        run("docker", "start", container.id)

    def stop(self, container: Container) -> None:
        run("docker", "stop", container.id, within=STOP)  # with the grace period of the compose file

    # --- from inside

    def fetch(self, url: str) -> str:
        """Return what an address of the stack's own network answers."""
        ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
        return self.execute(self.only("monitor"), "python", "-c", ask, url)

    def metrics(self, url: str) -> dict[str, float]:
        """Return the metrics of one replica, by name and labels as they are written."""
        lines = self.fetch(f"{url}/metrics").splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {sample: float(value) for sample, value in samples}

    # --- logs

    def logs(self, service: str) -> str:
        """Return what the replicas of a service have printed."""
        return self.compose("logs", "--no-color", "--no-log-prefix", service)

    def events(self, service: str, **fields: object) -> list[dict[str, Any]]:
        """Return the lines of a service's log that hold these fields, as they followed each other.

        The logs of several replicas come mixed in no order.
        """
        lines = (_document(line) for line in self.logs(service).splitlines())
        found = [line for line in lines if fields.items() <= line.items()]
        return sorted(found, key=lambda line: str(line.get("timestamp", "")))  # the proxy tells no time

    def told(self, *, of_all: bool = False) -> str:
        """Return how each container is, and the end of what it says where that is not well."""
        told = []
        for container in self.ps():
            state = f"{container.state} {container.health}, exit code {container.exit_code}"
            told.append(f"{container.name}: {state}, started again {container.restarts} times")
            if of_all or container.state != "running" or container.health != "healthy":
                told.append(_tail(container, SHOWN))
        return "\n".join(told)

    def save_logs(self) -> None:
        """Keep what all containers have said beside the .env file."""
        for container in self.ps():
            (self.directory / f"{container.name}.log").write_text(_tail(container, KEPT))

    # --- from outside

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def client(self) -> Client:
        """A client of the gateways, through the proxy."""
        return Client(self.url("proxy"))

    def get(self, service: str, path: str, /, **parameters: str) -> Any:
        """Return the JSON at a published port."""
        answer = httpx.get(
            self.url(service) + path, params=parameters, headers={"accept": "application/json"}, timeout=60
        )
        return answer.raise_for_status().json()

    def wait(self, state: Callable[[], T], within: float = 60.0) -> T:
        """Return the first true answer. Connections and commands that fail count as not yet."""
        deadline = time.monotonic() + within
        while True:
            try:
                last: object = (answer := state())
                if answer:
                    return answer
            except (httpx.HTTPError, TasadorError, AssertionError, LookupError) as error:
                last = error
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within:g} s; last seen: {last!r}\n{self.told()}")
            time.sleep(0.1)


def write_env(path: Path, variables: Mapping[str, object]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def _environment() -> dict[str, str]:
    """Return this process's variables without those that the compose file asks for: they would win over the file."""
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE_FILE.read_text()))
    return {
        name: value
        for name, value in os.environ.items()
        if name not in asked and not name.startswith(("TASADOR_", "COMPOSE_"))
    }


def _container(described: dict[str, Any]) -> Container:
    state, labels = described["State"], described["Config"]["Labels"]
    return Container(
        id=described["Id"],
        name=described["Name"].removeprefix("/"),
        service=labels["com.docker.compose.service"],
        state=state["Status"],
        health=state.get("Health", {}).get("Status", ""),
        exit_code=state["ExitCode"],
        restarts=described["RestartCount"],
    )


def _tail(container: Container, lines: int) -> str:
    # The engine keeps the two streams apart; a shell puts them back in order.
    return run("sh", "-c", 'docker logs --tail "$2" "$1" 2>&1', "sh", container.id, str(lines))


def _document(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
