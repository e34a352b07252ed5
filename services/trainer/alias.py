"""The alias `champion` in MLflow, set by a process of its own.

Importing MLflow costs seconds and hundreds of megabytes, which the trainer would keep for the rest of its life.
"""

import asyncio
import sys

from shared.process import die_with_parent


class AliasNotSet(RuntimeError):
    """MLflow could not be told who the champion is."""


class MlflowRegistry:
    """Satisfies `promote.Registry`."""

    def __init__(self, mlflow_uri: str) -> None:
        self._uri = mlflow_uri

    async def set_champion(self, name: str, version: str) -> None:
        """Raises AliasNotSet, with the last thing that MLflow said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.trainer.alias",
            self._uri,
            name,
            version,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        if process.returncode != 0:
            raise AliasNotSet(said.decode(errors="replace").strip()[-500:])


def main() -> None:
    die_with_parent()
    from services.trainer.registry import set_champion  # noqa: PLC0415 - see above

    set_champion(*sys.argv[1:4])


if __name__ == "__main__":
    main()
