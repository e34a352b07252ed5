"""The command lines of the stack's processes: exactly those one would type by hand."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.settings import PREFIX, ROOT
from shared.variables import FROM_FILE
from tasador.settings import StackSettings
from tasador.stack.ports import LOOPBACK
from tasador.stack.spawn import Command

SERVICES = ("trainer", "gateway", "scorer", "monitor")


@dataclass(frozen=True)
class Layout:
    """Where everything of one stack is."""

    state_dir: Path
    redis_url: str
    store_url: str
    mlflow_uri: str
    model_name: str
    gateway_port: int
    monitor_port: int
    mlflow_port: int

    @property
    def gateway_url(self) -> str:
        return f"http://{LOOPBACK}:{self.gateway_port}"

    @property
    def monitor_url(self) -> str:
        return f"http://{LOOPBACK}:{self.monitor_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{LOOPBACK}:{self.mlflow_port}"

    def environment(self) -> dict[str, str]:
        """What the services are told; it wins over a configuration file, and over files that variables name."""
        told = {
            f"{PREFIX}REDIS_URL": self.redis_url,
            f"{PREFIX}STORE_URL": self.store_url,
            f"{PREFIX}STATE_DIR": str(self.state_dir),
            f"{PREFIX}MLFLOW_URI": self.mlflow_uri,
            f"{PREFIX}GATEWAY_PORT": str(self.gateway_port),
            f"{PREFIX}MONITOR_PORT": str(self.monitor_port),
        }
        return told | {name + FROM_FILE: "" for name in told}

    def log(self, name: str) -> Path:
        return self.state_dir / "logs" / f"{name}.log"


def layout(settings: StackSettings, redis_url: str) -> Layout:
    return Layout(
        state_dir=settings.state_dir,
        redis_url=redis_url,
        store_url=settings.store_url,
        mlflow_uri=settings.mlflow_uri,
        model_name=settings.model_name,
        gateway_port=settings.gateway_port,
        monitor_port=settings.monitor_port,
        mlflow_port=settings.mlflow_port,
    )


def service_commands(counts: Mapping[str, int], environment: Mapping[str, str]) -> Iterator[Command]:
    """Yield the replicas in the order in which they are started: one of each service, or as many as `counts` says."""
    for service in SERVICES:
        count = counts.get(service, 1)
        for number in range(1, count + 1):
            name = f"{service}-{number}" if service == "scorer" or count > 1 else service
            yield service_command(name, service, environment)


def service_command(name: str, service: str, environment: Mapping[str, str], *arguments: str) -> Command:
    argv = (sys.executable, "-m", f"services.{service}", *arguments)
    return Command(name, service, argv, environment, ROOT)


def mlflow_command(where: Layout) -> Command:
    """MLflow's pages over the database that the trainer writes to; nothing of ours waits for them."""
    options = {
        "--host": LOOPBACK,
        "--port": str(where.mlflow_port),
        "--workers": "1",
        "--backend-store-uri": where.mlflow_uri,
        "--artifacts-destination": (where.state_dir / "mlflow" / "artifacts").as_uri(),
    }
    words = tuple(word for option in options.items() for word in option)
    argv = (sys.executable, "-m", "mlflow", "server", *words)
    quiet = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # four more processes that nothing here uses
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
    }
    return Command("mlflow", "mlflow", argv, quiet, cwd=where.state_dir)
