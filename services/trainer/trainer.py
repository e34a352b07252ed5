"""What the trainer does: train, upload, decide, promote; each as a command asks for it."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.trainer.child import TrainingJob, TrainingLine
from services.trainer.commands import PAUSE, CommandFailed, Report
from services.trainer.metrics import Metrics
from services.trainer.promote import Promoter, PromotionRefused, wait_converged
from services.trainer.settings import TrainerSettings
from shared import artifact
from shared.artifact import ArtifactInvalid, Champion, Manifest
from shared.events import PromotionRequested, ReloadRequested, RetrainRequested, RollbackRequested
from shared.keys import Keys
from shared.lease import LeaseTaken
from shared.params import ParamsInvalid, PromotionParams, load_params
from shared.replica import Replica
from shared.store import ObjectNotFound, Store
from shared.tasks import until_cancelled
from shared.telemetry import get_logger, trace

LINE_LIMIT = 1 << 20  # bytes of one line of the child's output

log = get_logger(__name__)


class RegistryAway(CommandFailed):
    """MLflow's server did not answer; a later attempt may find it."""


@dataclass(frozen=True)
class Trainer:
    """Carries out commands. Trainings come one after the other; promotions too, but beside them."""

    settings: TrainerSettings
    store: Store
    redis: Redis
    promoter: Promoter
    replica: Replica
    metrics: Metrics

    async def bootstrap(self) -> None:
        """Make sure that there is a champion: the newest version of the store, or else one trained now.

        Raises:
            CommandFailed: there is none, and it could not be changed.
        """
        if await artifact.read_champion(self.store, self.settings.model_name) is not None:
            return
        versions = await artifact.versions(self.store, self.settings.model_name)
        if versions:
            with _refusals(f"there is no champion, and version {versions[-1]} could not be promoted: "):
                await self.promoter.promote(versions[-1], "the newest version, as there was no champion", self._show)
        elif self.settings.trainer_train_if_missing:
            await self.train_and_promote("there was no champion", self._show)

    async def on_retrain_requested(self, command: RetrainRequested, report: Report) -> dict[str, Any]:
        return await self.train_and_promote(command.reason, report, command.operation_id)

    async def on_promotion_requested(self, command: PromotionRequested, report: Report) -> dict[str, Any]:
        with _refusals():
            champion = await self.promoter.promote(
                command.version, command.reason, report, operation=command.operation_id
            )
        return await self._converged(champion)

    async def on_rollback_requested(self, command: RollbackRequested, report: Report) -> dict[str, Any]:
        with _refusals():
            champion = await self.promoter.rollback(
                command.version, command.reason, report, operation=command.operation_id
            )
        return await self._converged(champion)

    async def on_reload_requested(self, command: ReloadRequested, report: Report) -> dict[str, Any]:
        with _refusals():
            await self.promoter.recover()  # publishes the desired version again, which wakes every replica
            champion = await artifact.read_champion(self.store, self.settings.model_name)
        if champion is None:
            raise CommandFailed("there is no champion yet: train one first")
        return await self._converged(champion)

    async def train_and_promote(self, reason: str, report: Report, operation: str | None = None) -> dict[str, Any]:
        """Train a version, put it into the store, and promote it if it may go into service by itself.

        Raises:
            CommandFailed: the data, the parameters or the export were refused, the result could not be stored, or a
                replica refused the version.
        """
        done = await self.promoter.ledger.outcome(operation)
        if done is not None:
            return {"promoted": True, **await self._converged(done)}
        with self.metrics.counting_training():
            version, policy = await self._new_version(report)
        with _refusals(f"version {version} was trained but not promoted: "):
            held_back = await self._held_back(version, policy)
            if held_back:
                log.warning("not promoted", version=version, why=held_back)
                self.metrics.count_promotion("held_back")
                return {"version": version, "promoted": False, "why": held_back}
            champion = await self._promote_trained(version, reason, report, operation)
        return {"promoted": True, **await self._converged(champion)}

    async def _new_version(self, report: Report) -> tuple[str, PromotionParams]:
        """Train a version and put it into the store."""
        try:
            policy = load_params(self.settings.params_path).promotion
            with tempfile.TemporaryDirectory(prefix="tasador-training-") as directory:
                version = await self._train(Path(directory), report)
                await artifact.upload(self.store, Path(directory))
        except ParamsInvalid as invalid:
            raise CommandFailed(str(invalid)) from invalid
        except OSError as error:  # a full disk is no reason to train again and again
            raise CommandFailed(f"the new version could not be stored: {error}") from error
        finally:
            self.replica.state, self.replica.detail = "ready", ""
        return version, policy

    async def _promote_trained(self, version: str, reason: str, report: Report, operation: str | None) -> Champion:
        """Promote, and wait for Redis where it is away: what was trained would be trained again otherwise."""
        for _ in until_cancelled():
            try:
                return await self.promoter.promote(version, reason, report, operation=operation)
            except RedisError as away:
                log.warning("trained, and waiting for redis to promote", version=version, error=str(away))
                await asyncio.sleep(PAUSE)
        raise AssertionError("it iterates until it is cancelled")

    async def _train(self, directory: Path, report: Report) -> str:
        """Run the training process and return the version that it registered."""
        job = TrainingJob(
            params_path=self.settings.params_path,
            model_name=self.settings.model_name,
            out_dir=directory,
            mlflow_uri=self.settings.mlflow_uri,
            taken=tuple(await self.store.directories(f"models/{self.settings.model_name}")),  # half uploads as well
            asked=trace(),
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.trainer.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
        )
        try:
            assert process.stdin is not None  # asked for above
            process.stdin.write(job.model_dump_json().encode())
            process.stdin.close()
            return await self._follow_child(process, report)
        finally:
            if process.returncode is None:
                process.kill()  # it has said its last line, or nobody waits for it any more
            await process.wait()

    async def _follow_child(self, process: asyncio.subprocess.Process, report: Report) -> str:
        assert process.stdout is not None  # asked for by our caller
        async for text in process.stdout:
            line = TrainingLine.model_validate_json(text)
            if line.error is not None:
                raise RegistryAway(line.error) if line.away else CommandFailed(line.error)
            if line.version is not None:
                return line.version
            await self._show(f"{line.stage} {line.done}/{line.total}" if line.total else line.stage)
            await report(self.replica.detail)
        code = await process.wait()
        raise CommandFailed(f"the training process ended with code {code}; its log says why")

    async def _show(self, detail: str) -> None:
        """Tell whoever looks at the replicas what we are doing."""
        if (self.replica.state, self.replica.detail) == ("training", detail):
            return
        self.replica.state, self.replica.detail = "training", detail
        log.info("progress", detail=detail)
        await self.replica.announce()

    async def _held_back(self, version: str, policy: PromotionParams) -> str:
        """Return why a new version shall not go into service by itself; "" when it may."""
        champion = await artifact.read_champion(self.store, self.settings.model_name)
        if champion is None:
            return ""  # nothing serves that could be made worse
        if not policy.automatic:
            return "promotion.automatic is off: promote it with `tasador model promote`"
        try:
            serving, _ = await artifact.fetch_manifest(self.store, self.settings.model_name, champion.version)
        except (ObjectNotFound, ValidationError):
            return ""  # nothing to compare with, and nothing that could be served
        challenger, _ = await artifact.fetch_manifest(self.store, self.settings.model_name, version)
        return _worse(challenger, serving, policy.max_rmse_increase)

    async def _converged(self, champion: Champion) -> dict[str, Any]:
        self.replica.error = None  # whatever there was to say about the lack of a champion
        patience = self.settings.trainer_converge_seconds
        behind = await wait_converged(self.redis, Keys(self.settings.tenant), champion.epoch, patience)
        return {"version": champion.version, "epoch": champion.epoch, "converged": not behind, "behind": behind}


@contextmanager
def _refusals(prefix: str = "") -> Iterator[None]:
    """Turn what stops a promotion into the failure of the command."""
    try:
        yield
    except (PromotionRefused, LeaseTaken, ArtifactInvalid) as refused:
        raise CommandFailed(f"{prefix}{refused}") from refused


def _worse(challenger: Manifest, champion: Manifest, limit: float) -> str:
    new = challenger.metrics[challenger.candidate].test["rmse"]
    old = champion.metrics[champion.candidate].test["rmse"]
    if new <= old * (1 + limit):
        return ""
    return (
        f"test RMSE {new:.4g} is more than {limit:.0%} above the champion's {old:.4g} (version {champion.version});"
        " promote it with `tasador model promote` if it shall serve all the same"
    )
