"""The command line `tasador`."""

from tasador.cli.app import main

__all__ = ["main"]
