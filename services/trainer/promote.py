"""Staged promotion: every live replica serves the new version, or none does.

1. The record of the promotion goes into the store, the candidate into Redis; a broadcast wakes the replicas.
2. Each live replica loads the candidate beside the version in service, checks it, and sends a receipt.
3. When all have agreed, `champion.json` is written: that one write is the decision. Then the epoch in Redis flips and
   each replica swaps. A refusal or the deadline aborts instead, and the old version goes on.

Whatever dies in between: before the decision the promotion is aborted at the trainer's next start, after it, finished.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.trainer.decision import Decision
from services.trainer.ledger import Action, Ledger, PromotionRecord
from services.trainer.mirror import Mirror, Registry
from shared import artifact, keys
from shared.artifact import ArtifactInvalid, Champion
from shared.clock import utc_now
from shared.engine import load_model
from shared.events import BROADCAST_LENGTH, ModelPromoted, ModelStaged
from shared.follower import Receipt
from shared.lease import Lease, LeaseTaken
from shared.replica import SERVING, live_replicas
from shared.settings import CommonSettings
from shared.store import Store
from shared.tasks import until_cancelled
from shared.telemetry import TRACE, get_logger, trace, traced

LEASE = timedelta(seconds=15)
GRACE = timedelta(seconds=30)  # beyond its deadline, for another promotion to end
STOPPED = "the trainer stopped before all replicas had agreed"

# Every script checks the lease first: a trainer that was paused past its end must not write.
# KEYS: lease, model, stream | ARGV: token, version, digest, promotion id, event, events kept, request, operation
_STAGE = """
if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end
redis.call('HSET',KEYS[2],'candidate_version',ARGV[2],'candidate_digest',ARGV[3],'promotion_id',ARGV[4],
  'candidate_request_id',ARGV[7],'candidate_operation_id',ARGV[8])
redis.call('XADD',KEYS[3],'MAXLEN','~',ARGV[6],'*','__data__',ARGV[5]) return 1
"""
# KEYS: lease, model, stream | ARGV: token, version, digest, epoch, event, events kept, request, operation
# Who asked for an epoch stays, however often it is told again.
_FLIP = """
if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end
local asked={ARGV[7],ARGV[8]}
if redis.call('HGET',KEYS[2],'epoch')==ARGV[4] then
  asked=redis.call('HMGET',KEYS[2],'request_id','operation_id')
end
redis.call('DEL',KEYS[2])
redis.call('HSET',KEYS[2],'version',ARGV[2],'digest',ARGV[3],'epoch',ARGV[4],
  'request_id',asked[1] or '','operation_id',asked[2] or '')
redis.call('XADD',KEYS[3],'MAXLEN','~',ARGV[6],'*','__data__',ARGV[5]) return 1
"""
CANDIDATE = (
    "candidate_version",
    "candidate_digest",
    "promotion_id",
    "candidate_request_id",
    "candidate_operation_id",
)

log = get_logger(__name__)

Progress = Callable[[str], Awaitable[None]]


class PromotionRefused(RuntimeError):
    """The version was not promoted, and nothing changed; the message says why."""


class ChampionChanged(RuntimeError):
    """The champion is another one than the version was compared with: nothing is known about the two."""


class Promoter:
    """The only writer of `champion.json`, the history and the desired version.

    Args:
        counted: is told of every outcome: promoted, rolled_back, held_back, or refused (nothing changed).
    """

    def __init__(
        self,
        settings: CommonSettings,
        store: Store,
        redis: Redis,
        registry: Registry,
        deadline: timedelta,
        *,
        counted: Callable[[str], None],
    ) -> None:
        self._name = settings.model_name
        self._store = store
        self.ledger = Ledger(store, settings.model_name)
        self._redis = redis
        self.mirror = Mirror(registry, settings.model_name, self.ledger.champion)
        self._deadline = deadline
        self._counted = counted
        self._patience = deadline + GRACE
        self._keys = keys.Keys(settings.tenant)

    def _lease(self) -> Lease:
        return Lease(self._redis, self._keys.lease("promotion"), LEASE)

    async def promote(
        self,
        version: str,
        reason: str,
        progress: Progress,
        *,
        operation: str | None = None,
        decision: Decision | None = None,
    ) -> Champion:
        """Promote a version of the store through all live replicas.

        Args:
            operation: the command that asks for it. One that took effect before is only told how it ended.
            decision: of a version that was just trained; it replaces nothing but the champion it was compared with.

        Raises:
            PromotionRefused: it is unknown or invalid, a replica refused it, or not all answered in time.
            ChampionChanged: since the decision.
            LeaseTaken: another promotion did not end.
        """
        with self._counting_refusals():
            return await self._change("promoted", version, reason, progress, operation=operation, decision=decision)

    async def hold_back(self, version: str, reason: str, decision: Decision, *, operation: str | None = None) -> None:
        """Note in the history that a version was trained, and why it does not go into service.

        Raises:
            LeaseTaken: a promotion did not end.
            PromotionRefused: another trainer took over.
        """
        lease = self._lease()
        async with lease.held(self._patience):
            champion = await self._settle(lease, STOPPED)
            if not await lease.renew():
                raise PromotionRefused("the promotion lease was lost: another trainer took over")
            await self.ledger.hold_back(version, champion, reason, decision, operation)
        self._counted("held_back")

    async def rollback(
        self, version: str | None, reason: str, progress: Progress, *, operation: str | None = None
    ) -> Champion:
        """Promote the version that served before the present one, or `version`. Raises as `promote`."""
        with self._counting_refusals():
            return await self._change("rolled_back", version, reason, progress, operation=operation)

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except (PromotionRefused, LeaseTaken):
            self._counted("refused")
            raise

    async def _change(
        self,
        action: Action,
        version: str | None,
        reason: str,
        progress: Progress,
        *,
        operation: str | None,
        decision: Decision | None = None,
    ) -> Champion:
        lease = self._lease()
        async with lease.held(self._patience):
            try:
                champion = await self._settle(lease, STOPPED)
                done = await self.ledger.outcome(operation)
                if done is not None:
                    return done
                target = version or await self.ledger.previous()
                if target is None:
                    raise PromotionRefused("there is no earlier version to go back to")
                if champion is not None and champion.version == target:
                    return champion
                if decision is not None and decision.champion != (champion.version if champion else None):
                    raise ChampionChanged("another version has gone into service since it was compared")
                record = await self._record(target, reason, action, champion, operation=operation, decision=decision)
            except ArtifactInvalid as invalid:
                raise PromotionRefused(str(invalid)) from invalid
            await self._carry_through(lease, record, progress)
            return record.champion

    async def recover(self) -> None:
        """Finish or abort what a trainer that died left behind, and tell Redis the desired version.

        Raises:
            ArtifactInvalid: champion.json is not readable.
            LeaseTaken: another promotion did not end.
        """
        lease = self._lease()
        async with lease.held(self._patience):
            await self._publish(lease, await self._settle(lease, STOPPED))

    async def keep_published(self, interval: float) -> None:
        """Tell Redis the desired version again whenever it has forgotten it. Runs for ever."""
        for _ in until_cancelled():
            await asyncio.sleep(interval)
            try:
                await self._look_after()
            except (RedisError, OSError) as error:
                log.debug("could not look after the desired version", error=str(error))
            except ArtifactInvalid as invalid:
                log.warning("cannot look after the desired version", error=str(invalid))

    async def _look_after(self) -> None:
        """See that Redis knows the champion, and holds no candidate that nobody promotes any more."""
        champion = await self.ledger.champion()
        told = champion is None or await self._desired_epoch() >= champion.epoch
        if told and not await self._redis.hexists(self._keys.model(self._name), "promotion_id"):
            return
        lease = self._lease()
        if await lease.acquire():  # otherwise a promotion is under way and will do it
            await self._publish(lease, await self._settle(lease, STOPPED))
            await lease.release()

    async def _desired_epoch(self) -> int:
        return int(await self._redis.hget(self._keys.model(self._name), "epoch") or 0)

    async def _next_epoch(self, champion: Champion | None) -> int:
        """Grow beyond every epoch that anybody remembers: the store may have been emptied, or restored."""
        live = await live_replicas(self._redis, self._keys, SERVING)
        known = [champion.epoch if champion else 0, await self._desired_epoch(), *(r.epoch or 0 for r in live)]
        return max(known) + 1

    async def _record(
        self,
        version: str,
        reason: str,
        action: Action,
        champion: Champion | None,
        *,
        operation: str | None = None,
        decision: Decision | None = None,
    ) -> PromotionRecord:
        """Check the version here first: what the trainer itself cannot load, no replica need try."""
        found = await artifact.fetch(self._store, self._name, version)
        await asyncio.to_thread(load_model, found)
        record = PromotionRecord(
            id=uuid4().hex,
            action=action,
            version=version,
            digest=found.digest,
            epoch=await self._next_epoch(champion),
            previous=champion.version if champion else None,
            reason=reason,
            operation=operation,
            request_id=trace().get("request_id", ""),
            decision=decision.document if decision else None,
            started_at=utc_now(),
        )
        await self.ledger.open(record)
        return record

    async def _carry_through(self, lease: Lease, record: PromotionRecord, progress: Progress) -> None:
        try:
            await self._stage(lease, record)
            await self._agreement(record, progress)
            await self._decide(lease, record)
        except (PromotionRefused, RedisError, OSError) as refused:
            with suppress(RedisError, OSError):  # what cannot be settled now is by whoever takes the lease next
                if await lease.renew() and await self._settle(lease, str(refused)) == record.champion:
                    return  # the decision was written, only not answered
            raise PromotionRefused(str(refused)) from refused
        await self._finish(lease, record)

    async def _settle(self, lease: Lease, why: str) -> Champion | None:
        """Finish or abort the promotion that the last holder of the lease left open, and return the champion."""
        record, champion = await self.ledger.unsettled(), await self.ledger.champion()
        if record is not None:
            with traced(**record.asked):
                if champion == record.champion:
                    await self._finish(lease, record)
                else:
                    await self._abort(lease, record, why)
        return champion

    async def _stage(self, lease: Lease, record: PromotionRecord) -> None:
        event = ModelStaged(model_name=self._name, version=record.version, promotion_id=record.id)
        args = [record.version, record.digest, record.id, event.model_dump_json()]
        if not await self._run(_STAGE, lease, ModelStaged.stream, args):
            raise PromotionRefused("the promotion lease was lost: another trainer took over")
        log.info("promotion staged", version=record.version, promotion_id=record.id)

    async def _agreement(self, record: PromotionRecord, progress: Progress) -> None:
        """Return when every live replica has accepted the candidate."""
        deadline = asyncio.get_running_loop().time() + self._deadline.total_seconds()
        while True:
            live = {r.member for r in await live_replicas(self._redis, self._keys, SERVING) if r.state != "draining"}
            receipts = await self._receipts(record)
            refused = [r for r in receipts.values() if not r.accepted and r.replica in live]
            if refused:
                raise PromotionRefused(f"{refused[0].replica} refused version {record.version}: {refused[0].error}")
            waiting = live - receipts.keys()
            if not waiting:
                return
            if asyncio.get_running_loop().time() > deadline:
                names = ", ".join(sorted(waiting))
                raise PromotionRefused(f"no receipt within {self._deadline.total_seconds():g} s from {names}")
            await progress(f"version {record.version}: {len(live) - len(waiting)} of {len(live)} replicas agreed")
            await asyncio.sleep(0.05)

    async def _receipts(self, record: PromotionRecord) -> dict[str, Receipt]:
        found: Any = await self._redis.hgetall(self._keys.receipts(record.id))
        return {replica: Receipt.model_validate_json(text) for replica, text in found.items()}

    async def _decide(self, lease: Lease, record: PromotionRecord) -> None:
        if not await lease.renew():
            raise PromotionRefused("the promotion lease was lost before the decision")
        await self.ledger.decide(record)

    async def _finish(self, lease: Lease, record: PromotionRecord) -> None:
        """Everything that follows from the decision; each step may be repeated."""
        try:
            await self._publish(lease, record.champion)
        except (RedisError, OSError) as error:  # keep_published does it when Redis is back
            log.warning("promoted, but redis is away", error=str(error))
        try:
            await self.ledger.close(record)
        except OSError as error:  # the next promotion does it first
            log.warning("promoted, but the history could not be written", error=str(error))
        else:
            self._counted(record.action)
        self.mirror.tell()
        told = {"version": record.version, "epoch": record.epoch, "reason": record.reason}
        log.info(record.action, promotion_id=record.id, **told)

    async def _abort(self, lease: Lease, record: PromotionRecord, why: str) -> None:
        log.warning("promotion aborted", version=record.version, promotion_id=record.id, why=why)
        await self.ledger.abort(record, why)
        try:
            await self._publish(lease, await self.ledger.champion())
        except (RedisError, OSError):
            return  # recover() clears the candidate

    async def _publish(self, lease: Lease, champion: Champion | None) -> None:
        """Make Redis say what the store says, without a candidate."""
        if champion is None:
            await self._redis.hdel(self._keys.model(self._name), *CANDIDATE)
            return
        event = ModelPromoted(model_name=self._name, version=champion.version, epoch=champion.epoch)
        args = [champion.version, champion.digest, str(champion.epoch), event.model_dump_json()]
        await self._run(_FLIP, lease, ModelPromoted.stream, args)

    async def _run(self, script: str, lease: Lease, stream: str, args: list[str]) -> bool:
        names = [lease.key, self._keys.model(self._name), self._keys.stream(stream)]
        asked = [trace().get(name, "") for name in TRACE]
        values = [lease.token, *args, str(BROADCAST_LENGTH), *asked]
        return bool(await self._redis.eval(script, len(names), *names, *values))


async def wait_converged(redis: Redis, names: keys.Keys, epoch: int, patience: float) -> list[str]:
    """Wait until every live replica serves `epoch`; return those that do not after `patience` seconds."""
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        behind = [r.member for r in await live_replicas(redis, names, SERVING) if (r.epoch or 0) < epoch]
        if not behind or asyncio.get_running_loop().time() > deadline:
            return behind
        await asyncio.sleep(0.05)
