"""What can be asked about models and replicas: `/model/info`, `/models`, `/replicas`."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel
from redis.asyncio import Redis

from services.gateway.predict import Follows
from services.gateway.problems import unavailable
from shared import artifact
from shared.artifact import Champion, HistoryEntry, Manifest, Metrics
from shared.follower import Receipt
from shared.keys import Keys
from shared.replica import SERVING, live_replicas
from shared.signature import Signature
from shared.store import ObjectNotFound, Store


class ModelInfo(Manifest):
    """The version that this gateway answers with: its manifest, and beside it what the manifest cannot hold."""

    epoch: int
    """Grows by one with every promotion and rollback."""
    digest: str
    """sha256 of the manifest, which names the digests of all files."""
    serving_engine: str
    """What computes here; `engine` is what the manifest asks for."""
    engine_instead: str | None
    """Why it is another one; it gives the same bits."""
    signature: Signature


class VersionInfo(BaseModel):
    version: str
    state: Literal["champion", "previous", "available"]
    """previous: what a rollback without a version returns to."""
    created_at: AwareDatetime
    candidate: str
    engine: str
    metrics: Metrics | None
    """Of the candidate that became this version."""
    mlflow_run_id: str


class ModelList(BaseModel):
    name: str
    champion: Champion | None
    versions: list[VersionInfo]
    """Newest first."""
    history: list[HistoryEntry]
    """Promotions, rollbacks, refused attempts and versions that were held back, newest first."""


class Desired(BaseModel):
    version: str
    epoch: int


class CandidateInfo(BaseModel):
    """A promotion under way."""

    version: str
    promotion_id: str
    receipts: list[Receipt]


class ReplicaState(BaseModel):
    service: str
    id: str
    version: str | None
    epoch: int | None
    engine: str | None
    """What computes there."""
    state: str
    error: str | None
    seen_at: AwareDatetime
    address: str


class Replicas(BaseModel):
    """The gateways and scorers: those that serve a version. Trainers and monitors follow them."""

    desired: Desired | None
    converged: bool
    """Whether every live gateway and scorer serves the desired version."""
    candidate: CandidateInfo | None
    replicas: list[ReplicaState]


class Catalogue:
    """Answers from the model in service, the store and Redis."""

    def __init__(self, follower: Follows, store: Store, redis: Redis, keys: Keys, model_name: str) -> None:
        self._follower = follower
        self._store = store
        self._redis = redis
        self._keys = keys
        self._name = model_name
        self._manifests: dict[str, Manifest] = {}  # immutable, so read once

    def info(self) -> ModelInfo:
        """Raises Problem when no version is in service."""
        serving = self._follower.current
        if serving is None:
            raise unavailable("no-model", "no version is in service here yet")
        model = serving.model
        return ModelInfo(
            **dict(model.manifest),
            epoch=serving.epoch,
            digest=model.digest,
            serving_engine=model.engine.name,
            engine_instead=model.instead,
            signature=model.signature,
        )

    async def models(self, limit: int) -> ModelList:
        """Return the newest `limit` versions and entries of the history."""
        champion, history, names = await asyncio.gather(
            artifact.read_champion(self._store, self._name),
            artifact.read_history(self._store, self._name),
            artifact.versions(self._store, self._name),
        )
        newest = names[::-1][:limit]
        manifests = await asyncio.gather(*(self._manifest(version) for version in newest))
        previous = _before(history)
        return ModelList(
            name=self._name,
            champion=champion,
            versions=[_version(manifest, champion, previous) for manifest in manifests],
            history=history[::-1][:limit],
        )

    async def exists(self, version: str) -> bool:
        try:
            await self._manifest(version)
        except ObjectNotFound:
            return False
        return True

    async def previous(self) -> str | None:
        """Return the version that a rollback returns to."""
        return _before(await artifact.read_history(self._store, self._name))

    async def replicas(self) -> Replicas:
        fields: Any = await self._redis.hgetall(self._keys.model(self._name))
        serving = await live_replicas(self._redis, self._keys, SERVING)
        desired = await self._desired(fields)
        return Replicas(
            desired=desired,
            # Where none is seen (a server that has just been emptied), nothing is known to have converged.
            converged=desired is not None and bool(serving) and all(r.epoch == desired.epoch for r in serving),
            candidate=await self._candidate(fields),
            replicas=[ReplicaState.model_validate(replica.model_dump()) for replica in serving],
        )

    async def _desired(self, fields: dict[str, str]) -> Desired | None:
        if fields.get("version"):
            return Desired(version=fields["version"], epoch=int(fields["epoch"]))
        champion = await artifact.read_champion(self._store, self._name)
        return Desired(version=champion.version, epoch=champion.epoch) if champion else None

    async def _candidate(self, fields: dict[str, str]) -> CandidateInfo | None:
        if not fields.get("promotion_id"):
            return None
        receipts: Any = await self._redis.hvals(self._keys.receipts(fields["promotion_id"]))
        return CandidateInfo(
            version=fields["candidate_version"],
            promotion_id=fields["promotion_id"],
            receipts=[Receipt.model_validate_json(text) for text in receipts],
        )

    async def _manifest(self, version: str) -> Manifest:
        if version not in self._manifests:
            self._manifests[version], _ = await artifact.fetch_manifest(self._store, self._name, version)
        return self._manifests[version]


def _before(history: Sequence[HistoryEntry]) -> str | None:
    served = artifact.served_versions(history)
    return served[-2] if len(served) > 1 else None


def _version(manifest: Manifest, champion: Champion | None, previous: str | None) -> VersionInfo:
    is_champion = champion is not None and manifest.version == champion.version
    return VersionInfo(
        version=manifest.version,
        state="champion" if is_champion else "previous" if manifest.version == previous else "available",
        created_at=manifest.created_at,
        candidate=manifest.candidate,
        engine=manifest.engine,
        metrics=manifest.metrics.get(manifest.candidate),
        mlflow_run_id=manifest.mlflow_run_id,
    )
