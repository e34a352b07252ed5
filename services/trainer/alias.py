"""The alias `champion` in MLflow, set by a process of its own.

Importing MLflow costs seconds and hundreds of megabytes, which the trainer would keep for the rest of its life.
"""

import asyncio
import sys

from services.trainer.mirror import VersionUnknown
from shared.process import die_with_parent

CHAMPION = "champion"
UNKNOWN = 3
"""Exit code: MLflow has no such version."""


class AliasNotSet(RuntimeError):
    """MLflow could not be told who the champion is."""


class MlflowRegistry:
    """Satisfies `mirror.Registry`."""

    def __init__(self, mlflow_uri: str) -> None:
        self._uri = mlflow_uri

    async def set_champion(self, name: str, version: str) -> None:
        """Raises AliasNotSet or VersionUnknown, with the last thing that MLflow said."""
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
            failure = VersionUnknown if process.returncode == UNKNOWN else AliasNotSet
            raise failure(said.decode(errors="replace").strip()[-500:])


def set_champion(uri: str, name: str, version: str) -> None:
    """Point the alias at a version, as `champion.json` does. Doing it again changes nothing.

    Raises:
        VersionUnknown, RegistryUnusable
    """
    from services.trainer.tracking import tracking  # noqa: PLC0415 - what the trainer imports is not to import MLflow

    with tracking(uri) as mlflow:
        try:
            mlflow.MlflowClient().set_registered_model_alias(name, CHAMPION, version)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise VersionUnknown(f"MLflow has no version {version} of {name}") from error


def main() -> int:
    die_with_parent()
    try:
        set_champion(*sys.argv[1:4])
    except VersionUnknown as unknown:
        print(unknown, file=sys.stderr)  # noqa: T201 - for our parent
        return UNKNOWN
    except Exception as error:
        print(str(error).strip() or type(error).__name__, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
