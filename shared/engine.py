"""Engines compute a model's margin from encoded rows; `Model` is a verified artifact ready to predict."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.artifact import Artifact, ArtifactInvalid, Manifest
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
    model = Model(
        manifest=artifact.manifest,
        digest=artifact.digest,
        signature=artifact.signature,
        profile=artifact.profile,
        engine=engine,
        encoder=RowEncoder(artifact.signature),
    )
    if model.signature.link != "identity":
        raise ArtifactInvalid(f"{where}: link {model.signature.link!r} is not supported by this release")
    for index, golden in enumerate(artifact.golden.rows):
        try:
            found = model.predict_row(model.encoder.encode(golden.row))
        except InvalidRow as invalid:
            raise ArtifactInvalid(f"{where}: golden row {index} does not fit the signature: {invalid}") from invalid
        if not abs(found - golden.prediction) <= golden.tolerance:
            raise ArtifactInvalid(
                f"{where}: golden row {index} gives {found!r}, scikit-learn gave {golden.prediction!r}"
                f" (tolerance {golden.tolerance:g})"
            )
    return model
