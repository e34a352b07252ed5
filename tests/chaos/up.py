"""`tasador up` with a gateway and scorers alone: the model is there already, and nobody counts.

The engine is slow in the scorers only.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

from rich.console import Console

from tasador.settings import StackSettings
from tasador.stack import launch
from tasador.stack.commands import service_commands
from tasador.stack.spawn import Command
from tests.faulty import VARIABLE


def serving(counts: Mapping[str, int], environment: Mapping[str, str]) -> Iterator[Command]:
    faults = os.environ.pop(VARIABLE)
    for command in service_commands(counts, environment):
        if command.service == "gateway":
            yield command
        elif command.service == "scorer":
            yield replace(command, env={**environment, VARIABLE: faults})


if __name__ == "__main__":
    sys.exit(launch.up(StackSettings.load(), Console(width=200), services=serving))
