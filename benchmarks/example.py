"""Rows to score."""

import numpy as np
import pandas as pd

from shared.settings import ROOT


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Rows of the example data with noise: varying rows, as branches and caches matter."""
    data = pd.read_csv(ROOT / "data" / "boston.csv").drop(columns="MEDV").astype(float)
    rng = np.random.default_rng(seed)
    picked = data.iloc[rng.integers(0, len(data), count)].reset_index(drop=True)
    return (picked * (1 + 0.02 * rng.standard_normal(picked.shape))).round(5)
