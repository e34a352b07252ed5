"""Evidently's default preset on windows of the same population, in an environment of its own."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift.population import draw, signature
from benchmarks.rivals.catalogue import PROGRAMS
from benchmarks.rivals.environments import environment, installed_version

PACKAGE = "evidently"
DATASET_SHARE = 0.5
"""The preset says that the data set has drifted when this share of its columns has."""


class EvidentlyFailed(Exception):
    pass


@dataclass(frozen=True)
class Evidently:
    programs: Path
    """Of its environment."""

    @classmethod
    def installed(cls, cache: Path) -> "Evidently":
        return cls(environment(PACKAGE, cache))

    @property
    def version(self) -> str:
        return installed_version(self.programs, PACKAGE)

    def run(self, program: str, *arguments: object) -> Any:
        """Run one of `rivals/programs`, and return the JSON that it prints. Raises EvidentlyFailed."""
        command = [str(self.programs / "python"), str(PROGRAMS / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EvidentlyFailed(done.stderr[-500:])
        return json.loads(done.stdout)

    def named(
        self, directory: Path, reference: int, windows: Sequence[int], *, features: int, draws: int, shift: float = 0.0
    ) -> Mapping[int, NDArray[np.bool_]]:
        """Return by size of the window which columns are said to have drifted, shape (draws, features + 1).

        Args:
            directory: an empty one, for references and windows.
        """
        directory.mkdir()
        for number in range(draws):
            rng = np.random.default_rng([reference, number, int(1000 * shift)])
            before, now = draw(rng, reference, features), draw(rng, max(windows), features, shift)
            np.savez(
                directory / f"{number:06}.npz",
                reference=np.column_stack((before.x, before.predictions)),
                window=np.column_stack((now.x, now.predictions)),
            )
        kinds = [feature.kind for feature in signature(features).features]
        categorical = ",".join(str(i) for i, kind in enumerate(kinds) if kind == "categorical")
        found = np.array(self.run("evidently_drift.py", directory, categorical, *windows))
        return {window: found[:, i] for i, window in enumerate(windows)}
