"""Gateways to measure, alone with their Valkey, on a core."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import SERVER_CORE, NotStarted, Server
from benchmarks.stacks import write_params
from shared.settings import PREFIX
from tasador.stack.valkey import valkey_binary, valkey_command, valkey_url
from tests.e2e.stack import LocalStack
from tests.ports import free_port


@dataclass(frozen=True)
class Trained:
    """A state directory with a version in service."""

    state: Path
    params: Path

    def environment(self, **settings: object) -> dict[str, str]:
        chosen = {"state_dir": self.state, "params_path": self.params, "log_level": "warning", **settings}
        return {PREFIX + name.upper(): str(value) for name, value in chosen.items()}


def train(directory: Path, model: str) -> Trained:
    """Train one kind of model on the example and put it into service, as `make train` does. Raises NotStarted."""
    params = write_params(directory, model)
    stack = LocalStack(directory, params_path=params)
    done = stack.tasador("train")
    if done.returncode:
        raise NotStarted(f"tasador train: {done.stderr.strip() or done.stdout.strip()}")
    return Trained(stack.state_dir, params)


@dataclass(frozen=True)
class Gateway:
    url: str
    server: Server
    valkey: Server


@contextmanager
def a_valkey(directory: Path, core: int | None = SERVER_CORE) -> Iterator[tuple[str, Server]]:
    """Run the embedded Valkey as the launcher does; give its address."""
    port = free_port()
    command = valkey_command(valkey_binary(), directory / "valkey", port, "512mb")
    with Server(command.argv, directory, core=core) as server:
        yield valkey_url(port), server


@contextmanager
def a_gateway(
    directory: Path, trained: Trained, core: int | None = SERVER_CORE, **settings: object
) -> Iterator[Gateway]:
    """Run a gateway with everything switched on."""
    port = free_port()
    with a_valkey(directory, core) as (redis_url, valkey):
        environment = trained.environment(redis_url=redis_url, gateway_port=port, **settings)
        with Server(
            [sys.executable, "-m", "services.gateway"], directory, core=core, environment=environment
        ) as server:
            yield Gateway(f"http://127.0.0.1:{port}", server, valkey)
