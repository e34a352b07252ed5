"""Running docker's command line: always with a deadline, and with nothing left behind when it passes."""

import os
import signal
import subprocess
from collections.abc import Mapping


class CommandFailed(AssertionError):
    """It ended badly, or not in time. The message holds what it said."""


def run(*argv: str, within: float = 60.0, env: Mapping[str, str] | None = None) -> str:
    """Return what the command prints. Raises CommandFailed."""
    # In a group of its own: docker hands the work to a plugin, which would outlive it and keep its pipes open.
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=env,
        start_new_session=True,
    ) as process:
        try:
            output, complaints = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said = "\n".join(process.communicate())
            raise CommandFailed(f"`{' '.join(argv)}` had not ended after {within:g} s:\n{said[-4000:]}") from None
        except BaseException:  # Ctrl-C
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise CommandFailed(
            f"`{' '.join(argv)}` ended with {process.returncode}:\n{output[-2000:]}\n{complaints[-4000:]}"
        )
    return output
