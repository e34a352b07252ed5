"""`Model` is a verified artifact ready to predict, with the engine that computes its margins."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.artifact import Artifact, ArtifactInvalid, Golden, Manifest
from shared.engines import Engine, choose_engine
from shared.error_model import ErrorModel, open_error_model
from shared.kernel.errors import GraphDamaged
from shared.profile import Profile
from shared.signature import InvalidRow, RowEncoder, Signature
from shared.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, eq=False)
class Model:
    """A version in memory that has reproduced its golden rows."""

    manifest: Manifest
    digest: str
    signature: Signature
    profile: Profile
    engine: Engine
    encoder: RowEncoder
    """Strict encoder of JSON rows."""
    golden: NDArray[np.float64]
    """The golden rows, encoded: those that the engine is known to take in this very process."""
    instead: str | None = None
    """Why the engine is another one than the manifest names; it gives the same bits."""
    row_seconds: float = 0.0
    """What one row alone takes, as the golden rows did."""
    errors: ErrorModel | None = None
    """Estimates how wrong the predictions are; None where the artifact was read without it, or has none."""

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map encoded rows, shape (n, F), to predictions, shape (n,)."""
        return self.engine.run(x)[:, 0]

    def predict_row(self, row: Sequence[float]) -> float:
        """Return the prediction for one encoded row; the same bits as `predict` gives for it."""
        return self.engine.run_row(row)


def load_model(artifact: Artifact) -> Model:
    """Build the engine and check it against the golden rows, which also warms it up.

    Raises:
        ArtifactInvalid: the graph does not load here, or does not reproduce a golden row.
    """
    manifest = artifact.manifest
    where = f"{manifest.name} version {manifest.version}"
    encoder = RowEncoder(artifact.signature)
    golden_rows = _encoded(artifact.golden, encoder, where)
    try:
        choice = choose_engine(manifest.engine, artifact.onnx, manifest.exactness, golden_rows)
    except GraphDamaged as damaged:
        raise ArtifactInvalid(f"{where}: the graph is damaged: {damaged}") from damaged
    except ValueError as reason:  # EngineUnavailable, or a graph whose rows are not the signature's
        raise ArtifactInvalid(f"{where}: {reason}") from reason
    if choice.instead:
        found = {"engine": choice.engine.name, "wanted": manifest.engine, "reason": choice.instead}
        log.warning("another engine than the manifest's", model=manifest.name, version=manifest.version, **found)
    model = Model(
        manifest=manifest,
        digest=artifact.digest,
        signature=artifact.signature,
        profile=artifact.profile,
        engine=choice.engine,
        encoder=encoder,
        golden=golden_rows,
        instead=choice.instead,
        errors=open_error_model(artifact),
    )
    if model.signature.link != "identity":
        raise ArtifactInvalid(f"{where}: link {model.signature.link!r} is not supported by this release")
    return replace(model, row_seconds=_check_golden(model, artifact.golden, where))


def _check_golden(model: Model, golden: Golden, where: str) -> float:
    """Return the median seconds of a row. Raises ArtifactInvalid."""
    taken: list[float] = []
    for index, (expected, row) in enumerate(zip(golden.rows, model.golden.tolist(), strict=True)):
        started = time.perf_counter()
        try:
            found = model.predict_row(row)
        except Exception as error:  # an engine may raise anything
            raise ArtifactInvalid(f"{where}: the engine fails golden row {index}: {error}") from error
        taken.append(time.perf_counter() - started)
        if not abs(found - expected.prediction) <= expected.tolerance:
            raise ArtifactInvalid(
                f"{where}: golden row {index} gives {found!r}, scikit-learn gave {expected.prediction!r}"
                f" (tolerance {expected.tolerance:g})"
            )
    return statistics.median(taken) if taken else 0.0


def _encoded(golden: Golden, encoder: RowEncoder, where: str) -> NDArray[np.float64]:
    """Raises ArtifactInvalid."""
    rows = []
    for index, each in enumerate(golden.rows):
        try:
            rows.append(encoder.encode(each.row))
        except InvalidRow as invalid:
            raise ArtifactInvalid(f"{where}: golden row {index} does not fit the signature: {invalid}") from invalid
    return np.array(rows, np.float64).reshape(len(rows), len(encoder.signature.features))
