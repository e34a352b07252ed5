"""What the trainer does: train, upload, decide, promote; each as a command asks for it."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.trainer.child import TrainingJob, TrainingLine
from services.trainer.commands import PAUSE, CommandFailed, Report
from services.trainer.comparison import Comparison
from services.trainer.decision import BY_HAND, Decision, decide
from services.trainer.metrics import Metrics
from services.trainer.promote import ChampionChanged, Promoter, PromotionRefused, wait_converged
from services.trainer.settings import TrainerSettings
from shared import artifact
from shared.artifact import ArtifactInvalid, Champion
from shared.clock import utc_now
from shared.events import PromotionRequested, ReloadRequested, RetrainRequested, RollbackRequested, Trigger
from shared.keys import Keys
from shared.lease import LeaseTaken
from shared.params import Params, ParamsInvalid, load_params
from shared.replica import Replica
from shared.store import Store
from shared.tasks import until_cancelled
from shared.telemetry import get_logger, trace

LINE_LIMIT = 1 << 20  # bytes of one line of the child's output

T = TypeVar("T")

log = get_logger(__name__)


class RegistryAway(CommandFailed):
    """MLflow's server did not answer; a later attempt may find it."""


@dataclass
class _Latest:
    """The latest training that was asked for and went well, in this process."""

    began: datetime | None = None
    operation: str = ""
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trainer:
    """Carries out commands. Trainings come one after the other; promotions too, but beside them."""

    settings: TrainerSettings
    store: Store
    redis: Redis
    promoter: Promoter
    replica: Replica
    metrics: Metrics
    latest: _Latest = field(default_factory=_Latest)

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
        """Train; but what asked by itself, and waited while a later training began, is answered by that training."""
        if command.trigger != "request" and self.latest.began is not None and command.occurred_at < self.latest.began:
            return {**self.latest.result, "answered_by": self.latest.operation}
        began = utc_now()
        result = await self.train_and_promote(
            command.reason, report, operation=command.operation_id, trigger=command.trigger
        )
        self.latest.began, self.latest.operation, self.latest.result = began, command.operation_id, result
        return result

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

    async def train_and_promote(
        self, reason: str, report: Report, *, operation: str | None = None, trigger: Trigger = "request"
    ) -> dict[str, Any]:
        """Train a version, put it into the store, and promote it if it may go into service by itself.

        Raises:
            CommandFailed: the data, the parameters or the export were refused, the result could not be stored, or a
                replica refused the version.
        """
        done = await self.promoter.ledger.outcome(operation)
        if done is not None:
            return {"promoted": True, **await self._converged(done)}
        before = await self.promoter.ledger.held_back(operation)
        if before is not None:
            return _not_promoted(before.version, before.decision or {})
        with self.metrics.counting_training():
            version, comparison, params = await self._new_version(report)
        decision = decide(trigger, comparison, params, await self.promoter.ledger.rolled_back())
        with _refusals(f"version {version} was trained but not promoted: "):
            if decision.promote:
                try:
                    champion = await _through_outages(
                        version,
                        lambda: self.promoter.promote(version, reason, report, operation=operation, decision=decision),
                    )
                except ChampionChanged as changed:
                    decision = decision.model_copy(update={"promote": False, "why": f"{changed}; {BY_HAND}"})
                else:
                    return {"promoted": True, **await self._converged(champion), **_explained(decision.document)}
            return await self._hold_back(version, reason, decision, operation)

    async def _hold_back(self, version: str, reason: str, decision: Decision, operation: str | None) -> dict[str, Any]:
        log.warning("not promoted", version=version, why=decision.why, trigger=decision.trigger, **decision.figures)
        await _through_outages(version, lambda: self.promoter.hold_back(version, reason, decision, operation=operation))
        return _not_promoted(version, decision.document)

    async def _new_version(self, report: Report) -> tuple[str, Comparison | None, Params]:
        """Train a version and put it into the store."""
        try:
            params = load_params(self.settings.params_path)
            with tempfile.TemporaryDirectory(prefix="tasador-training-") as directory:
                version, comparison = await self._train(Path(directory), report)
                await artifact.upload(self.store, Path(directory))
        except ParamsInvalid as invalid:
            raise CommandFailed(str(invalid)) from invalid
        except OSError as error:  # a full disk is no reason to train again and again
            raise CommandFailed(f"the new version could not be stored: {error}") from error
        finally:
            self.replica.state, self.replica.detail = "ready", ""
        return version, comparison, params

    async def _train(self, directory: Path, report: Report) -> tuple[str, Comparison | None]:
        """Run the training process; return the version that it registered, and how it did beside the champion."""
        job = TrainingJob(
            params_path=self.settings.params_path,
            model_name=self.settings.model_name,
            out_dir=directory,
            mlflow_uri=self.settings.mlflow_uri,
            store_url=self.settings.store_url,
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

    async def _follow_child(self, process: asyncio.subprocess.Process, report: Report) -> tuple[str, Comparison | None]:
        assert process.stdout is not None  # asked for by our caller
        async for text in process.stdout:
            line = TrainingLine.model_validate_json(text)
            if line.error is not None:
                raise RegistryAway(line.error) if line.away else CommandFailed(line.error)
            if line.version is not None:
                return line.version, line.comparison
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


async def _through_outages(version: str, write: Callable[[], Awaitable[T]]) -> T:
    """Wait for Redis where it is away: what was trained would be trained again otherwise."""
    for _ in until_cancelled():
        try:
            return await write()
        except RedisError as away:
            log.warning("trained, and waiting for redis to decide", version=version, error=str(away))
            await asyncio.sleep(PAUSE)
    raise AssertionError("it iterates until it is cancelled")


def _not_promoted(version: str, decision: dict[str, Any]) -> dict[str, Any]:
    return {"version": version, "promoted": False, **_explained(decision)}


def _explained(decision: dict[str, Any]) -> dict[str, Any]:
    return {"why": decision.get("why", ""), "figures": decision.get("figures", {})}
