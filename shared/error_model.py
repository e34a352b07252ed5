"""The error model of a version, ready to estimate. Where it cannot, nothing is estimated, and nothing else fails."""

import numpy as np
from numpy.typing import NDArray

from shared.artifact import Artifact
from shared.engines import Engine, choose_engine
from shared.error_estimate import ErrorFigures, evenly_spaced, summarise_errors
from shared.profile import Summary
from shared.telemetry import get_logger

log = get_logger(__name__)


class ErrorModel:
    """Estimates the champion's |error| for encoded rows. Safe to use from several threads at once."""

    def __init__(self, engine: Engine, figures: ErrorFigures, where: str) -> None:
        self.figures = figures
        self._engine: Engine | None = engine
        self._where = where

    def summarise(self, x: NDArray[np.float64]) -> Summary:
        """Estimate for an evenly spaced sample of rows, shape (n, F), and return the counters. Never raises."""
        if self._engine is None or not len(x):
            return {}
        try:
            return summarise_errors(self.figures, self._engine.run(x[evenly_spaced(len(x))])[:, 0], len(x))
        except Exception as error:  # an engine may raise anything, and this one is not worth a chunk
            self._engine = None
            log.error("errors are not estimated any more", version=self._where, reason=str(error))
            return {}


def open_error_model(artifact: Artifact) -> ErrorModel | None:
    """Return the error model of a version; None where it has none, or none that works here."""
    manifest = artifact.manifest
    if artifact.error_onnx is None or manifest.error_model is None:
        return None
    where = f"{manifest.name} version {manifest.version}"
    probe = np.zeros((1, len(artifact.signature.features)))
    try:
        engine = choose_engine(manifest.error_model.engine, artifact.error_onnx, "bits", probe).engine
        engine.run(probe)  # rows of another width are refused
    except Exception as error:  # a version serves without it, whatever the matter is
        log.warning("errors cannot be estimated", version=where, reason=str(error))
        return None
    return ErrorModel(engine, manifest.error_model, where)
