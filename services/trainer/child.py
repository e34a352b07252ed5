"""Training in a process of its own: `python -m services.trainer.child`, started by the trainer.

A trainer that is told to stop can end at once, and its event loop never waits for scikit-learn. The job comes as JSON
on stdin; progress, and at last the result, go out as JSON lines on stdout.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict

from services.trainer.comparison import Comparison
from services.trainer.settings import TrainerSettings
from services.trainer.tracking import RegistryUnusable
from shared import artifact
from shared.artifact import Artifact, ArtifactInvalid
from shared.params import Params, load_params
from shared.process import die_with_parent
from shared.store import Store
from shared.telemetry import configure_logging, get_logger

log = get_logger(__name__)


class TrainingJob(BaseModel):
    """What to train, and where to put it."""

    model_config = ConfigDict(frozen=True)

    params_path: Path
    model_name: str
    """Which model the trainer looks after."""
    out_dir: Path
    mlflow_uri: str
    store_url: str
    """Where labelled rows and the champion lie."""
    taken: tuple[str, ...] = ()
    """Versions that the store has already."""
    asked: dict[str, str] = {}
    """Who asked for it, for the log."""


class TrainingLine(BaseModel):
    """One line of the child's stdout: progress, or how it ended."""

    model_config = ConfigDict(frozen=True)

    stage: str = ""
    done: int = 0
    total: int = 0
    version: str | None = None
    """Set in the line that ends a training that went well."""
    comparison: Comparison | None = None
    """Beside the version: with the champion, where there is one."""
    error: str | None = None
    """Set in the line that ends a training that did not."""
    away: bool = False
    """MLflow's server did not answer: nothing is wrong with what was asked for."""


def main() -> int:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal goes to our parent too, which ends us
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries that print must not break the protocol

    def say(line: TrainingLine) -> None:
        output.write(line.model_dump_json() + "\n")

    job = TrainingJob.model_validate(json.load(sys.stdin))
    settings = TrainerSettings.load()
    configure_logging("trainer", settings)
    structlog.contextvars.bind_contextvars(**job.asked)
    try:
        from services.trainer.read_labels import read_labels  # noqa: PLC0415 - seconds of imports, inside the try
        from services.trainer.training import train  # noqa: PLC0415

        params, store = _params_of(job), Store.open(job.store_url)
        name, limit = params.model.name, params.retrain.max_labelled_rows
        trained = train(
            params,
            job.params_path.parent,
            job.out_dir,
            job.mlflow_uri,
            lambda stage, done, total: say(TrainingLine(stage=stage, done=done, total=total)),
            taken=job.taken,
            revision=settings.trainer_revision,
            labels=asyncio.run(read_labels(store, name, params.data.target, limit)),
            champion=lambda: asyncio.run(_champion(store, name)),
        )
    except ValueError as refused:  # what is wrong with the data or the parameters, in words for their owner
        say(TrainingLine(error=str(refused)))
        return 1
    except RegistryUnusable as unusable:
        say(TrainingLine(error=str(unusable), away=unusable.away))
        return 1
    except Exception as broken:  # a full disk, a database that is locked, a bug: whoever asked must hear of it
        log.exception("training failed")
        said = str(broken).strip().splitlines()
        say(TrainingLine(error=f"training failed: {type(broken).__name__}: {said[0] if said else 'no message'}"))
        return 1
    say(TrainingLine(version=trained.version, comparison=trained.comparison))
    return 0


def _params_of(job: TrainingJob) -> Params:
    params = load_params(job.params_path)
    if params.model.name != job.model_name:
        raise ValueError(
            f"model.name in {job.params_path} is {params.model.name!r}, but this trainer serves {job.model_name!r}:"
            " restart the stack after renaming the model, or correct one of params.yaml and TASADOR_MODEL_NAME"
        )
    return params


async def _champion(store: Store, name: str) -> Artifact | Comparison | None:
    pointer = await artifact.read_champion(store, name)
    if pointer is None:
        return None
    try:
        return await artifact.fetch(store, name, pointer.version, pointer.digest)
    except ArtifactInvalid as invalid:
        return Comparison(pointer.version, f"it cannot be read: {invalid}")


if __name__ == "__main__":
    sys.exit(main())
