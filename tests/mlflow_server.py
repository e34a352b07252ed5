"""An MLflow server as a process, started as documentation and Compose file say, to be killed and asked over HTTP."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from shared.process import die_with_parent
from tests.ports import free_port
from tests.waiting import NO_TLS, eventually

START_SECONDS = 90.0
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


class MlflowServer:
    """Keeps its database and its artifacts in a directory, and its port from start to start."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def other_url(self) -> str:
        """The same server under a name that it does not go by."""
        return f"http://localhost:{self._port}"

    async def start(self) -> Self:
        """Start it, and return when it answers."""
        self._begin()
        await eventually(self._answers, within=START_SECONDS)
        return self

    def _begin(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        options = {
            "--host": "127.0.0.1",
            "--port": str(self._port),
            "--workers": "1",
            "--backend-store-uri": f"sqlite:///{self.directory}/mlflow.db",
            "--artifacts-destination": f"{self.directory}/artifacts",
            "--allowed-hosts": "127.0.0.1:*",
        }
        command = [sys.executable, "-m", "mlflow", "server", *(word for option in options.items() for word in option)]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=os.environ | ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )

    def kill(self) -> None:
        """End it and its worker at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    async def ask(self, route: str, body: dict[str, Any] | None = None, /, **params: str) -> dict[str, Any]:
        """Return the answer of its REST interface: to a POST if there is a body."""
        async with httpx.AsyncClient(base_url=f"{self.url}/api/2.0/mlflow/", verify=NO_TLS, timeout=60) as client:
            sent = client.get(route, params=params) if body is None else client.post(route, json=body)
            answer: dict[str, Any] = (await sent).raise_for_status().json()
            return answer

    async def champion(self, model: str) -> str | None:
        """Return the version that the alias names."""
        try:
            found = await self.ask("registered-models/alias", name=model, alias="champion")
        except httpx.HTTPError:
            return None
        return str(found["model_version"]["version"])

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "server.log").read_text()[-2000:]
        try:
            async with httpx.AsyncClient(verify=NO_TLS) as client:
                return (await client.get(f"{self.url}/health")).status_code == 200
        except httpx.TransportError:
            return False
