"""The artifact: the immutable bundle of one version, and the durable records beside it.

Serving loads nothing but this: no pickle, no scikit-learn, no registry.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from shared import keys
from shared.error_estimate import ErrorFigures
from shared.profile import Profile
from shared.signature import Signature
from shared.store import ObjectNotFound, Store
from shared.telemetry import get_logger

ONNX, SIGNATURE, PROFILE, GOLDEN, MANIFEST = (
    "model.onnx",
    "signature.json",
    "profile.json",
    "golden.json",
    "manifest.json",
)
CONTENT = (ONNX, SIGNATURE, PROFILE, GOLDEN)
ERROR_ONNX = "error_model.onnx"
"""Only where the manifest has `error_model`."""

log = get_logger(__name__)


class ArtifactInvalid(ValueError):
    """An artifact is incomplete, altered, of a newer format, or does not reproduce its golden rows."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GoldenRow(_Record):
    """A row with the prediction that scikit-learn gave for it."""

    row: dict[str, float | str | None]
    prediction: float
    tolerance: float = 0.0
    """Largest accepted |difference|: 0 for trees (bit-equal), the proven bound for linear models."""


class Golden(_Record):
    rows: tuple[GoldenRow, ...]


class Metrics(_Record):
    """Of one candidate, in the target's unit (R² has none). `cv_*` are over the folds."""

    train: dict[str, float]
    cv_mean: dict[str, float]
    cv_std: dict[str, float]
    test: dict[str, float]


class Manifest(_Record):
    """What a version is, where it came from, and the digests of its files."""

    schema_version: Literal[1] = 1
    name: str
    version: str
    created_at: AwareDatetime
    candidate: str
    """Which entry of `model_building` won the selection."""
    engine: str = "onnxruntime"
    """Which one the trainer proved, and serves it everywhere: "kernel/1", the number being its format's. Another one
    stands in for it only where it gives the same bits (`shared.engines`)."""
    exactness: Literal["bits", "bound"]
    """Whether the engine equals scikit-learn bit for bit (trees) or within the proven bound (linear)."""
    tolerance: float = 0.0
    """Largest difference that a golden row accepts; 0 for bits. The rows have their own."""
    metrics: dict[str, Metrics]
    selection_metric: str = "rmse"
    mlflow_run_id: str
    data_sha256: str
    params_sha256: str
    git_commit: str | None
    libraries: dict[str, str]
    rows: dict[str, int]
    """Number of rows: train, test; and labelled, those among them whose actual values were reported."""
    test_fraction: float | None = None
    """Which rows were held out, together with `split_columns`; None in versions of older releases."""
    split_columns: tuple[str, ...] = ()
    """The columns of the data whose cells decide about a row."""
    parity: dict[str, float | int | str]
    """What the parity gate compared and found."""
    drift: dict[str, float | int | str | bool]
    """`drift` of params.yaml: how the monitor judges this version."""
    quality: dict[str, float | int | str | bool] = {}
    """`quality` of params.yaml."""
    retrain: dict[str, float | int | str | bool] = {}
    """`retrain` of params.yaml."""
    error_model: ErrorFigures | None = None
    """How well the errors of this version can be estimated; None where they cannot, and in older artifacts."""
    files: dict[str, str]
    """sha256 of every other file."""


@dataclass(frozen=True)
class Artifact:
    """A verified artifact in memory."""

    manifest: Manifest
    digest: str
    """sha256 of manifest.json, which names all other digests: it identifies the bundle."""
    signature: Signature
    profile: Profile
    golden: Golden
    onnx: bytes
    error_onnx: bytes | None = None
    """The error model's graph, where it was asked for and there is one."""


def seal(directory: Path, fields: Mapping[str, Any]) -> Manifest:
    """Write manifest.json beside the other files of `directory`, with their digests.

    Args:
        directory: holds every file of CONTENT, and ERROR_ONNX if `fields` has its figures.
        fields: all fields of Manifest but `files` and `tolerance`.
    """
    names = CONTENT if fields.get("error_model") is None else (*CONTENT, ERROR_ONNX)
    files = {name: sha256((directory / name).read_bytes()) for name in names}
    golden = Golden.model_validate_json((directory / GOLDEN).read_bytes())
    tolerance = max((row.tolerance for row in golden.rows), default=0.0)
    manifest = Manifest(**fields, files=files, tolerance=tolerance)
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


async def upload(store: Store, directory: Path) -> str:
    """Put a sealed directory into the store, the manifest last, and return the digest.

    Raises:
        ObjectExists: this version is there already; versions are immutable.
    """
    data = (directory / MANIFEST).read_bytes()
    manifest = Manifest.model_validate_json(data)
    prefix = keys.artifact_prefix(manifest.name, manifest.version)
    for name in (*manifest.files, MANIFEST):
        await store.put_new(f"{prefix}/{name}", (directory / name).read_bytes())
    return sha256(data)


async def fetch(store: Store, name: str, version: str, digest: str | None = None, *, errors: bool = False) -> Artifact:
    """Read and verify a version.

    Args:
        digest: of manifest.json, where the caller knows it.
        errors: read the error model, too. A version serves without it: one that is missing or altered is left out.

    Raises:
        ArtifactInvalid: a file is missing, altered or unreadable.
    """
    prefix = keys.artifact_prefix(name, version)
    try:
        data = await store.get(f"{prefix}/{MANIFEST}")
        found = sha256(data)
        if digest is not None and found != digest:
            raise ArtifactInvalid(f"{name} version {version}: manifest.json has digest {found}, expected {digest}")
        manifest = Manifest.model_validate_json(data)
        files = {file: await store.get(f"{prefix}/{file}") for file in CONTENT}
        error_onnx = await _error_onnx(store, manifest) if errors else None
    except ObjectNotFound as missing:
        raise ArtifactInvalid(f"{name} version {version}: {missing}") from missing
    except ValidationError as invalid:
        raise ArtifactInvalid(f"{name} version {version}: {MANIFEST} is not valid: {invalid}") from invalid
    return replace(_verified(manifest, found, files), error_onnx=error_onnx)


async def _error_onnx(store: Store, manifest: Manifest) -> bytes | None:
    expected = manifest.files.get(ERROR_ONNX)
    if expected is None:
        return None
    with suppress(ObjectNotFound):
        data = await store.get(f"{keys.artifact_prefix(manifest.name, manifest.version)}/{ERROR_ONNX}")
        if sha256(data) == expected:
            return data
    log.warning("an error model is missing or altered", model=manifest.name, version=manifest.version)
    return None


def _verified(manifest: Manifest, digest: str, files: Mapping[str, bytes]) -> Artifact:
    where = f"{manifest.name} version {manifest.version}"
    for file, data in files.items():
        if manifest.files.get(file) != sha256(data):
            raise ArtifactInvalid(f"{where}: {file} does not have the digest that the manifest states")
    try:
        return Artifact(
            manifest=manifest,
            digest=digest,
            signature=Signature.model_validate_json(files[SIGNATURE]),
            profile=Profile.model_validate_json(files[PROFILE]),
            golden=Golden.model_validate_json(files[GOLDEN]),
            onnx=files[ONNX],
        )
    except ValidationError as invalid:
        raise ArtifactInvalid(f"{where}: {invalid}") from invalid


async def fetch_manifest(store: Store, name: str, version: str) -> tuple[Manifest, str]:
    """Read a version's manifest and its digest only. Raises ObjectNotFound."""
    data = await store.get(f"{keys.artifact_prefix(name, version)}/{MANIFEST}")
    return Manifest.model_validate_json(data), sha256(data)


async def fetch_signature(store: Store, name: str, version: str, digest: str) -> Signature:
    """Read and verify what a version expects, without its graph. Raises ArtifactInvalid."""
    where = f"{name} version {version}"
    try:
        manifest, found = await fetch_manifest(store, name, version)
        data = await store.get(f"{keys.artifact_prefix(name, version)}/{SIGNATURE}")
        if found != digest or manifest.files.get(SIGNATURE) != sha256(data):
            raise ArtifactInvalid(f"{where} is not the one with digest {digest}")
        return Signature.model_validate_json(data)
    except (ObjectNotFound, ValidationError) as invalid:
        raise ArtifactInvalid(f"{where}: {invalid}") from invalid


async def versions(store: Store, name: str) -> list[str]:
    """Return the versions in the store, oldest first. A directory without manifest is no version."""
    names = await store.directories(f"models/{name}")
    found = [v for v in names if await store.exists(f"{keys.artifact_prefix(name, v)}/{MANIFEST}")]
    return sorted(found, key=lambda version: (not version.isdigit(), int(version) if version.isdigit() else 0, version))


class Champion(_Record):
    """The durable pointer: which version serves. The epoch grows by one with every promotion and rollback."""

    version: str
    epoch: int
    digest: str


async def read_champion(store: Store, name: str) -> Champion | None:
    """Return the pointer, None when there never was one. Raises ArtifactInvalid when it cannot be read."""
    path = keys.champion_path(name)
    try:
        return Champion.model_validate_json(await store.get(path))
    except ObjectNotFound:
        return None
    except ValidationError as invalid:
        raise ArtifactInvalid(
            f"{path} is not readable ({invalid.errors()[0]['msg']}): restore it, or delete it and promote a version"
        ) from invalid


async def write_champion(store: Store, name: str, champion: Champion) -> None:
    await store.put(keys.champion_path(name), champion.model_dump_json().encode())


class HistoryEntry(_Record):
    """One promotion, rollback or refused attempt at one, or a version that was trained and did not go into service."""

    at: datetime
    action: Literal["promoted", "rolled_back", "aborted", "held_back"]
    version: str
    previous: str | None
    """The champion before, which of a version that was aborted or held back stays it."""
    epoch: int | None
    """The epoch that the change made; None when nothing changed."""
    reason: str
    promotion_id: str
    operation: str | None = None
    """The command that asked for it: one that comes again after it took effect is recognised."""
    decision: dict[str, Any] | None = None
    """Of a version that was trained: why it did or did not go into service, and the figures."""


async def read_history(store: Store, name: str) -> list[HistoryEntry]:
    """Return every entry, oldest first. A line that is not readable is passed over."""
    return _entries(await _history(store, name))


async def _history(store: Store, name: str) -> bytes:
    try:
        return await store.get(keys.history_path(name))
    except ObjectNotFound:
        return b""


def _entries(history: bytes) -> list[HistoryEntry]:
    entries: list[HistoryEntry] = []
    for line in history.splitlines():
        with suppress(ValidationError):
            entries.append(HistoryEntry.model_validate_json(line))
    return entries


def served_versions(history: Sequence[HistoryEntry]) -> list[str]:
    """Return the versions to go back through, oldest first, the champion last.

    A rollback drops what it went back from, so that rolling back twice goes back two versions.
    """
    served: list[str] = []
    for entry in history:
        if entry.action == "rolled_back" and entry.version in served:
            del served[served.index(entry.version) :]
        if entry.action in ("promoted", "rolled_back"):
            served.append(entry.version)
    return served


async def append_history(store: Store, name: str, entry: HistoryEntry) -> None:
    """Add an entry, once per promotion id and action. Only the holder of the promotion lease may call this."""
    history = await _history(store, name)
    if any((e.promotion_id, e.action) == (entry.promotion_id, entry.action) for e in _entries(history)):
        return
    if history and not history.endswith(b"\n"):
        history += b"\n"
    await store.put(keys.history_path(name), history + entry.model_dump_json().encode() + b"\n")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
