"""Engines compute a model's margin from encoded rows; `Model` is a verified artifact ready to predict."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.artifact import Artifact, ArtifactInvalid, Golden, Manifest
from shared.onnx_engine import OnnxRuntimeEngine
from shared.profile import Profile
from shared.signature import InvalidRow, RowEncoder, Signature


class Engine(Protocol):
    """Computes margins. Safe to call from several threads at once."""

    name: str

    def run(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map encoded rows, shape (n, F), C order, to margins, shape (n, T)."""
        ...


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

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map encoded rows, shape (n, F), to predictions, shape (n,)."""
        return self.engine.run(x)[:, 0]

    def predict_row(self, row: list[float]) -> float:
        """Return the prediction for one encoded row; the same bits as `predict` gives for it."""
        return float(self.engine.run(np.array([row], np.float64))[0, 0])


def load_model(artifact: Artifact) -> Model:
    """Build the engine and check it against the golden rows, which also warms it up.

    Raises:
        ArtifactInvalid: the graph does not load here, or does not reproduce a golden row.
    """
    where = f"{artifact.manifest.name} version {artifact.manifest.version}"
    try:
        engine = OnnxRuntimeEngine(artifact.onnx)
    except Exception as error:  # onnxruntime raises its own undocumented classes
        raise ArtifactInvalid(f"{where}: onnxruntime refuses the graph: {error}") from error
    encoder = RowEncoder(artifact.signature)
    model = Model(
        manifest=artifact.manifest,
        digest=artifact.digest,
        signature=artifact.signature,
        profile=artifact.profile,
        engine=engine,
        encoder=encoder,
        golden=_encoded(artifact.golden, encoder, where),
    )
    if model.signature.link != "identity":
        raise ArtifactInvalid(f"{where}: link {model.signature.link!r} is not supported by this release")
    for index, (golden, row) in enumerate(zip(artifact.golden.rows, model.golden.tolist(), strict=True)):
        found = model.predict_row(row)
        if not abs(found - golden.prediction) <= golden.tolerance:
            raise ArtifactInvalid(
                f"{where}: golden row {index} gives {found!r}, scikit-learn gave {golden.prediction!r}"
                f" (tolerance {golden.tolerance:g})"
            )
    return model


def _encoded(golden: Golden, encoder: RowEncoder, where: str) -> NDArray[np.float64]:
    """Raises ArtifactInvalid."""
    rows = []
    for index, each in enumerate(golden.rows):
        try:
            rows.append(encoder.encode(each.row))
        except InvalidRow as invalid:
            raise ArtifactInvalid(f"{where}: golden row {index} does not fit the signature: {invalid}") from invalid
    return np.array(rows, np.float64).reshape(len(rows), len(encoder.signature.features))
