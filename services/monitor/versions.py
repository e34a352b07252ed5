"""What the monitor needs of a version: signature, profile, limits and error model, from the artifact in the store."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.monitor.carried import read_section
from services.monitor.drift import Limits
from services.monitor.quality import Quality, summarise_quality
from services.monitor.quality import quality as quality_of_sums
from shared import artifact
from shared.artifact import ArtifactInvalid, Manifest
from shared.error_model import ErrorModel, open_error_model
from shared.profile import Profile, Summary
from shared.signature import Signature
from shared.store import Store
from shared.telemetry import get_logger

CAPACITY = 32  # versions in memory; a profile is a few KB, an error model some 100
RETRY_SECONDS = 2.0  # an artifact that could not be read is not looked for again before

log = get_logger(__name__)


@dataclass(frozen=True)
class Training:
    """What the training said of a version, in the target's unit: `rmse`, `mae`, and `r2`."""

    candidate: str
    test: Mapping[str, float]
    """On the rows that were held out."""
    cv_mean: Mapping[str, float]
    """Over the folds of the cross-validation."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Training":
        metrics = manifest.metrics[manifest.candidate]
        return cls(manifest.candidate, metrics.test, metrics.cv_mean)


@dataclass(frozen=True)
class QualityLimits:
    """From where on live quality is bad: `quality` of params.yaml, as the manifest carries it."""

    min_labels: int = 100
    max_rmse_increase: float = 0.2
    """Relative to the test rows of the training."""
    window: float = 30 * 86_400.0
    """Seconds that predictions may be old."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "QualityLimits":
        """Take what the manifest of a version says; what it leaves out is the default."""
        return read_section(cls, values)


@dataclass(frozen=True)
class Version:
    model: str
    version: str
    signature: Signature
    profile: Profile
    limits: Limits
    retrain: Mapping[str, Any]
    """`retrain` of params.yaml: when a new model is asked for."""
    training: Training
    quality: QualityLimits
    errors: ErrorModel | None = None
    """Estimates how wrong its predictions are; None where that is not possible."""

    def summarise_quality(self, predictions: NDArray[np.float64], actual: NDArray[np.float64]) -> Summary:
        """Sum up predictions and what really happened, shape (n,) each."""
        return summarise_quality(self.profile.prediction, self.training.test["rmse"], predictions, actual)

    def quality_of(self, summary: Summary) -> Quality:
        """Return the figures of a sum of such summaries."""
        return quality_of_sums(summary, self.profile.prediction, self.training.test["rmse"])


class VersionUnknown(LookupError):
    """The artifact cannot be read now. `hopeless`: it was tried for long enough, and the store does answer."""

    def __init__(self, model: str, version: str, reason: str, *, hopeless: bool) -> None:
        super().__init__(f"{model} version {version}: {reason}")
        self.hopeless = hopeless


@dataclass
class _Failure:
    since: float
    tried: float
    unknown: VersionUnknown


class Versions:
    """Versions by name, read once each: artifacts never change."""

    def __init__(self, store: Store, patience: float) -> None:
        self._store = store
        self._patience = patience
        self._known: OrderedDict[tuple[str, str], Version] = OrderedDict()
        self._failed: OrderedDict[tuple[str, str], _Failure] = OrderedDict()

    async def get(self, model: str, version: str) -> Version:
        """Return a version.

        Raises:
            VersionUnknown: there is no valid artifact, or the store is away.
        """
        key = (model, version)
        if key not in self._known:
            self._remember(key, await self._fetch(key))
        self._known.move_to_end(key)
        return self._known[key]

    async def _fetch(self, key: tuple[str, str]) -> Version:
        failure = self._failed.get(key)
        if failure is not None and time.monotonic() - failure.tried < RETRY_SECONDS:
            raise failure.unknown
        try:
            found = await artifact.fetch(self._store, *key, errors=True)
        except ArtifactInvalid as invalid:
            raise self._failure(key, str(invalid), final=True) from invalid
        except Exception as error:  # each store has its own errors for being away
            raise self._failure(key, f"the store cannot be read: {error}", final=False) from error
        self._failed.pop(key, None)
        manifest = found.manifest
        return Version(
            *key,
            found.signature,
            found.profile,
            limits=Limits.of(manifest.drift),
            retrain=manifest.retrain,
            training=Training.of(manifest),
            quality=QualityLimits.of(manifest.quality),
            errors=await asyncio.to_thread(open_error_model, found),
        )

    def _failure(self, key: tuple[str, str], reason: str, *, final: bool) -> VersionUnknown:
        now = time.monotonic()
        before = self._failed.pop(key, None)
        since = before.since if before and final else now
        unknown = VersionUnknown(*key, reason, hopeless=final and now - since >= self._patience)
        if before is None or before.unknown.args != unknown.args:
            log.warning("cannot read a version", reason=str(unknown))
        self._failed[key] = _Failure(since, now, unknown)
        while len(self._failed) > CAPACITY:
            self._failed.popitem(last=False)
        return unknown

    def _remember(self, key: tuple[str, str], version: Version) -> None:
        self._known[key] = version
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)
