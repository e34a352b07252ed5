"""`tasador up` with stand-ins in place of the services."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from shared.settings import ROOT
from tasador.settings import StackSettings
from tasador.stack import launch
from tasador.stack.commands import service_commands
from tasador.stack.refused import Refused
from tasador.stack.spawn import Command

STANDIN = Path(__file__).with_name("standin_service.py")


def standins(counts: Mapping[str, int], environment: Mapping[str, str]) -> Iterator[Command]:
    ports = {"gateway": environment["TASADOR_GATEWAY_PORT"], "monitor": environment["TASADOR_MONITOR_PORT"]}
    for command in service_commands(counts, environment):
        argv = (sys.executable, str(STANDIN), command.service, ports.get(command.service, "0"))
        yield replace(command, argv=argv, env={**environment, "PYTHONPATH": str(ROOT)})


if __name__ == "__main__":
    try:
        sys.exit(launch.up(StackSettings.load(), Console(width=200), services=standins))
    except Refused as refused:
        sys.exit(str(refused))
