"""Which version scores a job: the one in service, or one that the caller names."""

import re

from pydantic import ValidationError

from services.gateway.problems import ErrorItem, Problem, unavailable
from shared import artifact
from shared.artifact import ArtifactInvalid
from shared.engine import Model
from shared.follower import ModelFollower
from shared.store import ObjectNotFound, Store

_VERSION = re.compile(r"[A-Za-z0-9_-]{1,64}")  # no dots: a name is a directory


class Versions:
    def __init__(self, follower: ModelFollower, store: Store, model_name: str) -> None:
        self._follower = follower
        self._store = store
        self._name = model_name

    async def get(self, version: str | None) -> Model:
        """Return a version, loaded and checked as scorers will; None is the one in service.

        Raises:
            Problem: there is none, or it cannot be loaded.
        """
        serving = self._follower.current
        if version is None and serving is None:
            raise unavailable("no-model", "no version of the model is in service")
        if serving is not None and version in (None, serving.model.version):
            return serving.model
        assert version is not None
        return await self._loaded(version)

    async def _loaded(self, version: str) -> Model:
        if not _VERSION.fullmatch(version):
            raise _unknown(version)
        try:
            _, digest = await artifact.fetch_manifest(self._store, self._name, version)
            return await self._follower.models.get(version, digest)
        except ObjectNotFound:
            raise _unknown(version) from None
        except (ArtifactInvalid, ValidationError) as invalid:
            raise Problem("version-unusable", str(invalid), errors=[_item("unusable", "cannot be loaded")]) from invalid


def _unknown(version: str) -> Problem:
    detail = f"the store has no version {version[:64]!r}"
    return Problem("version-not-found", detail, errors=[_item("unknown", detail)])


def _item(code: str, detail: str) -> ErrorItem:
    return ErrorItem("#/query/version", code, detail)
