"""What the store knows of promotions: the record of the one under way, the champion, and the history."""

from typing import Any, Literal
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from services.trainer.decision import Decision
from shared import artifact, keys
from shared.artifact import Champion, HistoryEntry
from shared.clock import utc_now
from shared.store import ObjectNotFound, Store
from shared.telemetry import get_logger

log = get_logger(__name__)

Action = Literal["promoted", "rolled_back"]


class PromotionRecord(BaseModel):
    """`promotion.json`: the promotion under way, or the last one."""

    model_config = ConfigDict(frozen=True)

    id: str
    action: Action
    version: str
    digest: str
    epoch: int
    """What the epoch will be."""
    previous: str | None
    reason: str
    operation: str | None = None
    """The command that asked for it."""
    request_id: str = ""
    """Of the HTTP request that gave that command, for logs."""
    decision: dict[str, Any] | None = None
    """Of a version that was just trained: why it goes into service."""
    started_at: AwareDatetime
    state: Literal["staged", "done", "aborted"] = "staged"

    @property
    def asked(self) -> dict[str, str]:
        """Who asked for it, for the log."""
        return {"request_id": self.request_id, "operation_id": self.operation or ""}

    @property
    def champion(self) -> Champion:
        return Champion(version=self.version, epoch=self.epoch, digest=self.digest)


class Ledger:
    """Only the holder of the promotion lease may write here."""

    def __init__(self, store: Store, model: str) -> None:
        self._store = store
        self._model = model

    async def champion(self) -> Champion | None:
        """Raises ArtifactInvalid: champion.json is not readable."""
        return await artifact.read_champion(self._store, self._model)

    async def open(self, record: PromotionRecord) -> None:
        """Note that a promotion is under way, before anybody else hears of it."""
        await self._save(record)

    async def decide(self, record: PromotionRecord) -> None:
        """Make its version the champion: this one write is the decision."""
        await artifact.write_champion(self._store, self._model, record.champion)

    async def close(self, record: PromotionRecord) -> None:
        """Note that everything that follows from the decision is done. May be repeated."""
        await self._remember(record, record.action, record.epoch, record.reason)
        await self._save(record.model_copy(update={"state": "done"}))

    async def abort(self, record: PromotionRecord, why: str) -> None:
        """Note that it was given up. May be repeated."""
        await self._remember(record, "aborted", None, f"{record.reason}: {why}")
        await self._save(record.model_copy(update={"state": "aborted"}))

    async def hold_back(
        self, version: str, champion: Champion | None, reason: str, decision: Decision, operation: str | None
    ) -> None:
        """Note that a version was trained and did not go into service."""
        entry = HistoryEntry(
            at=utc_now(),
            action="held_back",
            version=version,
            previous=champion.version if champion else None,
            epoch=None,
            reason=f"{reason}: {decision.why}",
            promotion_id=uuid4().hex,
            operation=operation,
            decision=decision.document,
        )
        await artifact.append_history(self._store, self._model, entry)

    async def held_back(self, operation: str | None) -> HistoryEntry | None:
        """Return what an operation has trained that did not go into service, None if nothing."""
        for entry in await artifact.read_history(self._store, self._model) if operation else []:
            if entry.operation == operation and entry.action == "held_back":
                return entry
        return None

    async def unsettled(self) -> PromotionRecord | None:
        """Return the promotion that is under way, or that a trainer which died left so."""
        try:
            record = PromotionRecord.model_validate_json(await self._store.get(keys.promotion_path(self._model)))
        except ObjectNotFound:
            return None
        except ValidationError as invalid:
            log.error("promotion.json is not readable and is ignored", error=str(invalid))
            return None
        return record if record.state == "staged" else None

    async def outcome(self, operation: str | None) -> Champion | None:
        """Return what an operation has put into service, None if nothing. Somebody may have replaced it since."""
        for entry in await artifact.read_history(self._store, self._model) if operation else []:
            if entry.operation == operation and entry.epoch is not None:
                _, digest = await artifact.fetch_manifest(self._store, self._model, entry.version)
                return Champion(version=entry.version, epoch=entry.epoch, digest=digest)
        return None

    async def previous(self) -> str | None:
        """Return the version that served before the champion; None if there was none."""
        served = artifact.served_versions(await artifact.read_history(self._store, self._model))
        return served[-2] if len(served) > 1 else None

    async def rolled_back(self) -> str | None:
        """Return the version that the champion was gone back to from; None if it came by a promotion."""
        served = [e for e in await artifact.read_history(self._store, self._model) if e.epoch is not None]
        return served[-1].previous if served and served[-1].action == "rolled_back" else None

    async def _save(self, record: PromotionRecord) -> None:
        await self._store.put(keys.promotion_path(self._model), record.model_dump_json().encode())

    async def _remember(
        self,
        record: PromotionRecord,
        action: Literal["promoted", "rolled_back", "aborted"],
        epoch: int | None,
        why: str,
    ) -> None:
        entry = HistoryEntry(
            at=utc_now(),
            action=action,
            version=record.version,
            previous=record.previous,
            epoch=epoch,
            reason=why,
            promotion_id=record.id,
            operation=record.operation,
            decision=record.decision,
        )
        await artifact.append_history(self._store, self._model, entry)
