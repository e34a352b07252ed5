"""Training without the rest of the stack: Valkey, one trainer in the foreground, and out again."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console

from tasador.settings import StackSettings
from tasador.stack import logs, valkey
from tasador.stack.commands import layout, service_command
from tasador.stack.launch import clean_up
from tasador.stack.ports import find_free
from tasador.stack.refused import Refused
from tasador.stack.spawn import end_with_parent, spawn
from tasador.stack.state import locked
from tasador.stack.view import View

_PATIENCE = 30.0


class ValkeyFailed(Refused):
    """The embedded server did not answer; `str()` holds its last lines."""


def train(settings: StackSettings, console: Console) -> int:
    """Train and promote; return the trainer's exit code.

    Raises:
        AlreadyRunning: the stack runs after all, or another training does.
        ValkeyMissing, ValkeyFailed
    """
    with locked(settings.state_dir):
        clean_up(settings.state_dir, View(console))
        if settings.external_redis:
            return _run_trainer(layout(settings, settings.external_redis).environment())
        with _valkey(settings) as url:
            return _run_trainer(layout(settings, url).environment())


@contextmanager
def _valkey(settings: StackSettings) -> Iterator[str]:
    port = find_free(settings.valkey_port)
    binary, url = valkey.valkey_binary(), valkey.valkey_url(port)
    command = valkey.valkey_command(binary, settings.state_dir / "valkey", port, settings.valkey_maxmemory)
    log = settings.state_dir / "logs" / "valkey.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    logs.rotate(log)
    server = spawn(command, log)
    try:
        if not asyncio.run(_answers_in_time(url, server)):
            raise ValkeyFailed("\n".join(["the embedded Valkey did not start:", *logs.tail(log, 10)]))
        yield url
    finally:
        server.terminate()
        server.wait()


async def _answers_in_time(url: str, server: subprocess.Popen[bytes]) -> bool:
    client = valkey.impatient_client(url)
    deadline = time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < deadline and server.poll() is None:
            if await valkey.answers(client):
                return True
            await asyncio.sleep(0.05)
        return False
    finally:
        await client.aclose()


def _run_trainer(environment: Mapping[str, str]) -> int:
    """Run it on our terminal: it shows its progress, and Ctrl-C reaches it as well as us."""
    command = service_command("trainer", "trainer", environment, "--once")
    trainer = subprocess.Popen(
        command.argv,
        cwd=command.cwd,
        env=command.environment(),
        preexec_fn=end_with_parent(),  # noqa: PLW1509 - see spawn
    )
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends first, then Valkey does
    forwarded = signal.signal(signal.SIGTERM, lambda *_: trainer.terminate())
    try:
        code = trainer.wait()
        return code if code >= 0 else 1
    finally:
        signal.signal(signal.SIGINT, ignored)
        signal.signal(signal.SIGTERM, forwarded)
