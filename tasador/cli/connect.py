"""From options and settings to a client, and from its exceptions to messages and exit codes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from shared.settings import SettingsInvalid
from tasador.cli.output import Exit, fail
from tasador.client import Client, Gone, Monitor, NotFound, TasadorError, UnknownFormat
from tasador.settings import StackSettings
from tasador.stack import control
from tasador.stack.ports import LOOPBACK

UrlOption = Annotated[
    str | None, typer.Option("--url", help="Gateway to talk to; default: TASADOR_CLIENT_URL, or the running stack.")
]
MonitorUrlOption = Annotated[
    str | None,
    typer.Option("--url", help="Monitor to talk to; default: TASADOR_CLIENT_MONITOR_URL, or the running stack."),
]


@contextmanager
def connected(url: str | None) -> Iterator[Client]:
    """Yield a client; what it raises ends the command with a message."""
    with _told(), Client(url or gateway_url(StackSettings.load())) as client:
        yield client


@contextmanager
def monitoring(url: str | None) -> Iterator[Monitor]:
    """As `connected`, to a monitor."""
    with _told(), Monitor(url or monitor_url(StackSettings.load())) as monitor:
        yield monitor


def gateway_url(settings: StackSettings) -> str:
    state = control.running(settings.state_dir)
    running = state.gateway_url if state else f"http://{LOOPBACK}:{settings.gateway_port}"
    return settings.client_url or running


def monitor_url(settings: StackSettings) -> str:
    state = control.running(settings.state_dir)
    running = state.monitor_url if state else f"http://{LOOPBACK}:{settings.monitor_port}"
    return settings.client_monitor_url or running


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a client raises into a message."""
    try:
        yield
    except (NotFound, Gone) as missing:
        fail(str(missing), Exit.NOT_FOUND)
    except (TasadorError, SettingsInvalid) as error:
        fail(str(error))
    except UnknownFormat as unknown:
        fail(str(unknown), Exit.USAGE)
    except OSError as error:  # a file that cannot be read or written
        fail(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "))
